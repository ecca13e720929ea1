//! Saving and restoring the state: what every file format of ours shares.

use super::header::{OLDEST_STATE_VERSION, STATE_VERSION, SavedParameter, SavedRun, StateHeader};
use super::model::Member;
use super::plan::Rule;
use super::progress::Progress;
use super::{Optimizer, Restored, Setting, differences, settings_of};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result, Scalar};
use crate::directions::{Slot, Slots};
use crate::maps::SpectralMap;
use alloc::{string::String, vec::Vec};

/// The most steps that a saved state may count: up to here every count is a double of its own, as bias corrections
/// take it, and one more step is no overflow.
const MOST_STEPS: u64 = 1 << 53;

/// Buffers and steps of a parameter.
pub(super) type CheckedState<B> = (Slots<<B as Backend>::Matrix>, u64);

impl<B: Backend> Optimizer<B> {
    /// The header of a saved state; the numbers are those of [`buffers`](Self::buffers).
    ///
    /// # Errors
    /// An earlier step that is [not whole](Self::check_whole). A parameter whose map has refused every matrix so far
    /// and has made no buffer, without [`Config::check_finite`](super::Config::check_finite).
    pub fn header(&self) -> Result<StateHeader> {
        self.check_whole("save")?;
        let parameters: Vec<_> = self.members.iter().map(saved_parameter).collect();
        for (saved, member) in parameters.iter().zip(&self.members) {
            if expected_buffers(saved, member).any(|(slot, ..)| member.state.slots.get(slot).is_none()) {
                let error = Error::new("save", ErrorKind::NonFinite { what: "parameter's direction" });
                return Err(error.for_parameter(&saved.name));
            }
        }
        Ok(StateHeader {
            version: STATE_VERSION,
            element: B::Element::NAME.into(),
            steps: self.steps,
            lr: self.learning_rate(),
            parameters,
            run: Some(SavedRun {
                clip_factor: self.rates.clip_factor,
                pre_clip_factor: self.pre_clip_factor,
                settings: settings_of(&self.config),
            }),
        })
    }

    /// Every state buffer of a parameter that has taken a step: parameter name, slot, values.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, Slot, &B::Matrix)> {
        self.members.iter().filter(|member| member.state.steps > 0).flat_map(|member| {
            member.state.buffers().map(|(slot, matrix)| (member.spec.name.as_ref(), slot, matrix))
        })
    }

    /// Restores a saved state. `load(name, slot, rows, cols)` gives each buffer that the header implies.
    /// All or nothing: the optimizer changes only after everything has been checked.
    ///
    /// Step counts and buffers become the saved ones. Everything that is set stays as it is set here: learning rates, weight decay,
    /// clips and the rest of the recipes; what was another in the saved run is returned. The factors of the clip
    /// thresholds, which say how far a schedule has come, become the saved run's unless they have been set here.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for another version, element type, model or rule, a buffer of the wrong shape or with
    /// a non-finite number, naming the parameter; and whatever `load` returns.
    pub fn restore(
        &mut self,
        header: &StateHeader,
        load: impl FnMut(&str, Slot, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Restored> {
        let checked = self.check_state(header, load)?;
        Ok(self.take_state(header, checked))
    }

    /// The checked state of every parameter; the first half of [`restore`](Self::restore), which changes nothing.
    pub(super) fn check_state(
        &self,
        header: &StateHeader,
        mut load: impl FnMut(&str, Slot, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Vec<CheckedState<B>>> {
        if !(OLDEST_STATE_VERSION..=STATE_VERSION).contains(&header.version) {
            return Err(refuse("it was written by another version"));
        }
        if header.element != B::Element::NAME {
            return Err(refuse("it holds numbers of another type"));
        }
        if !(header.lr >= 0.0 && header.lr.is_finite()) {
            return Err(refuse("its learning rate is not a number that can be"));
        }
        let factor = |x: f64| x > 0.0 && x.is_finite();
        if header.run.as_ref().is_some_and(|run| !(factor(run.clip_factor) && factor(run.pre_clip_factor))) {
            return Err(refuse("the factor of a clip threshold is not a number that can be"));
        }
        let steps = header.parameters.iter().map(|saved| saved.steps).chain([header.steps]);
        if steps.max() > Some(MOST_STEPS) {
            return Err(refuse("it counts more steps than can be"));
        }
        if header.parameters.len() != self.members.len() {
            return Err(refuse("it has another number of parameters: it belongs to another model"));
        }
        let mut checked = Vec::with_capacity(self.members.len());
        for (saved, member) in header.parameters.iter().zip(&self.members) {
            let named = |error: Error| error.for_parameter(&member.spec.name);
            check_parameter(header.version, saved, member).map_err(named)?;
            let mut slots = Slots::default();
            for (slot, rows, cols) in expected_buffers(saved, member) {
                let matrix = load(&saved.name, slot, rows, cols).map_err(named)?;
                if matrix.shape() != (rows, cols) {
                    return Err(named(refuse("a buffer has the wrong shape")));
                }
                if !matrix.max_abs()?.read()?.is_finite() {
                    return Err(named(refuse("a buffer holds a NaN or an infinity")));
                }
                *slots.place(slot) = Some(matrix);
            }
            checked.push((slots, saved.steps));
        }
        Ok(checked)
    }

    /// The second half.
    pub(super) fn take_state(&mut self, header: &StateHeader, checked: Vec<CheckedState<B>>) -> Restored {
        self.steps = header.steps;
        self.progress = Progress::Whole;
        for (member, (slots, steps)) in self.members.iter_mut().zip(checked) {
            member.state.slots = slots;
            member.state.steps = steps;
        }
        let mut differences = Vec::new();
        let mut compare = |name: &str, saved: f64, now: f64| {
            let (saved, now) = (Setting::new(name, saved), Setting::new(name, now));
            differences.extend(self::differences(&[saved], &[now]));
        };
        compare("learning rate", header.lr, self.rates.lr);
        if let Some(SavedRun { clip_factor, pre_clip_factor, settings }) = &header.run {
            if !self.factors_set.clip {
                self.rates.clip_factor = *clip_factor;
            }
            if !self.factors_set.pre_clip {
                self.pre_clip_factor = *pre_clip_factor;
            }
            compare("clip factor", *clip_factor, self.rates.clip_factor);
            compare("pre-clip factor", *pre_clip_factor, self.pre_clip_factor);
            differences.extend(self::differences(settings, &settings_of(&self.config)));
        }
        Restored {
            steps: self.steps,
            clip_factor: self.rates.clip_factor,
            pre_clip_factor: self.pre_clip_factor,
            differences,
        }
    }
}

fn refuse(reason: &'static str) -> Error {
    Error::new("restore", ErrorKind::State { reason })
}

fn saved_parameter<B: Backend>(member: &Member<B>) -> SavedParameter {
    let spec = &member.spec;
    SavedParameter {
        name: spec.name.clone(),
        rows: spec.rows,
        cols: spec.cols,
        rule: rule(STATE_VERSION, member),
        steps: member.state.steps,
    }
}

/// As a header of this version names it.
fn rule<B: Backend>(version: u32, member: &Member<B>) -> String {
    if member.spec.rule == Rule::Frozen { "frozen".into() } else { member.state.recipe.signature_in(version) }
}

fn check_parameter<B: Backend>(version: u32, saved: &SavedParameter, member: &Member<B>) -> Result<()> {
    let spec = &member.spec;
    if saved.name != spec.name {
        return Err(refuse("it has a parameter of another name here: it belongs to another model"));
    }
    if (saved.rows, saved.cols) != (spec.rows, spec.cols) {
        return Err(refuse("the parameter has another shape there"));
    }
    if saved.rule != rule(version, member) {
        return Err(refuse("the parameter has another rule there"));
    }
    Ok(())
}

/// The buffers that a parameter with this many steps has.
fn expected_buffers<B: Backend>(
    saved: &SavedParameter,
    member: &Member<B>,
) -> impl Iterator<Item = (Slot, usize, usize)> {
    let (rows, cols) = (member.spec.rows, member.spec.cols);
    let recipe = &member.state.recipe;
    let rank = match &recipe.map {
        SpectralMap::TailShrink(map) => Some(map.rank(rows, cols)).filter(|k| *k < rows.min(cols)),
        _ => None,
    };
    let moments = recipe.direction.slots().iter().map(move |slot| (*slot, rows, cols));
    let moved = saved.steps > 0;
    moments.chain(rank.map(|k| (Slot::Subspace, cols, k))).filter(move |_| moved)
}
