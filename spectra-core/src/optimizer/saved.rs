//! Saving and restoring the state: what every file format of ours shares.

use super::header::{OLDEST_STATE_VERSION, STATE_VERSION, SavedParameter, SavedRun, SavedShape, StateHeader};
use super::member::Member;
use super::parameter::BlockState;
use super::progress::Progress;
use super::{Missing, Optimizer, RestoreOptions, Restored, Setting, differences, settings_of};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result, Scalar};
use crate::state::{BufferSpec, MASTER, SUBSPACE, State};
use alloc::{boxed::Box, string::String, vec::Vec};

/// The most steps that a saved state may count: up to here every count is a double of its own, as bias corrections
/// take it, and one more step is no overflow.
const MOST_STEPS: u64 = 1 << 53;

/// What becomes of a member: its saved state, or none.
pub(super) type Checked<B> = Vec<Option<BlockState<<B as Backend>::Matrix>>>;

impl<B: Backend> Optimizer<B> {
    /// The header of a saved state; the numbers are those of [`buffers`](Self::buffers).
    ///
    /// # Errors
    /// An earlier step that is [not whole](Self::check_whole).
    pub fn header(&self) -> Result<StateHeader> {
        self.check_whole("save")?;
        Ok(StateHeader {
            version: STATE_VERSION,
            element: B::Element::NAME.into(),
            steps: self.steps,
            lr: self.learning_rate(),
            parameters: self.members.iter().map(|member| self.saved_parameter(member)).collect(),
            run: Some(SavedRun {
                clip_factor: self.rates.clip_factor,
                pre_clip_factor: self.pre_clip_factor,
                settings: settings_of(&self.config),
            }),
        })
    }

    /// Every state buffer of a parameter that has taken a step: parameter name, buffer name, values.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &'static str, &B::Matrix)> {
        self.members.iter().filter(|member| member.block.steps > 0).flat_map(|member| {
            member.block.state.iter().map(|(name, matrix)| (member.spec.name.as_ref(), name, matrix))
        })
    }

    /// Restores a saved state. `load(name, buffer, rows, cols)` gives each buffer that the header speaks of, under its names.
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
        load: impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Restored> {
        self.restore_with(header, &RestoreOptions::default(), load)
    }

    /// [`restore`](Self::restore) into a model that has changed: parameters are found by their names, and `options` say what becomes
    /// of those that only one side has. The state of an `f32` run may be given to an optimizer in `f64`; a tail shrink of
    /// another rank takes the saved subspace, with columns left out or random ones added.
    ///
    /// # Errors
    /// As [`restore`](Self::restore); with [`Missing::Refuse`] a parameter that only one side has.
    pub fn restore_with(
        &mut self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        load: impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Restored> {
        let checked = self.check_state(header, options, load)?;
        Ok(self.take_state(header, options, checked))
    }

    /// The checked state of every parameter; the first half of [`restore_with`](Self::restore_with), which changes nothing.
    pub(super) fn check_state(
        &self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        mut load: impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Checked<B>> {
        header.check::<B::Element>()?;
        let names = options.names(header)?;
        let mut checked = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let named = |error: Error| error.for_parameter(&member.spec.name);
            let at = names.iter().position(|name| **name == *member.spec.name);
            let saved = at.and_then(|at| header.parameters.get(at));
            let saved = match (saved, options.missing) {
                (Some(saved), Missing::Fresh) if (saved.rule == FROZEN) == member.is_live() => None,
                (None, Missing::Refuse) => {
                    return Err(named(refuse(
                        "the state has no parameter of this name: it belongs to another model",
                    )));
                }
                (saved, _) => saved,
            };
            let block = saved.map(|saved| self.check_block(header.version, saved, member, &mut load));
            checked.push(block.transpose().map_err(named)?);
        }
        let unused = names.iter().find(|name| !self.members.iter().any(|m| m.spec.name == **name));
        match unused {
            Some(name) if options.missing == Missing::Refuse => {
                let reason = "the model has no parameter of this name: the state belongs to another";
                Err(refuse(reason).for_parameter(name))
            }
            _ => Ok(checked),
        }
    }

    fn check_block(
        &self,
        version: u32,
        saved: &SavedParameter,
        member: &Member<B>,
        load: &mut impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<BlockState<B::Matrix>> {
        let shape = (member.spec.rows, member.spec.cols);
        if (saved.rows, saved.cols) != shape {
            return Err(refuse("the parameter has another shape there"));
        }
        if saved.rule != self.signature(version, member) {
            return Err(refuse("the parameter has another rule there"));
        }
        let mut block = BlockState { state: State::default(), steps: saved.steps };
        if saved.steps == 0 || !member.is_live() {
            return Ok(block);
        }
        let specs = member.with_rule(&self.rules, |rule| rule.buffers(shape));
        // A master that is wanted no more, and the subspace of a rank that is all.
        let known = |name: &str| [MASTER, SUBSPACE].contains(&name) || specs.iter().any(|s| s.name == name);
        if !saved.buffers.iter().all(|buffer| known(&buffer.name)) {
            return Err(refuse("it has a buffer that its rule has not"));
        }
        for spec in &specs {
            let Some((rows, cols)) = saved.shape_of(version, spec) else {
                if spec.zeros {
                    return Err(refuse("a buffer is missing"));
                }
                continue;
            };
            let matrix = load(&saved.name, spec.name, rows, cols)?;
            if matrix.shape() != (rows, cols) {
                return Err(refuse("a buffer has the wrong shape"));
            }
            if !matrix.max_abs()?.read()?.is_finite() {
                return Err(refuse("a buffer holds a NaN or an infinity"));
            }
            let matrix = if (rows, cols) == (spec.rows, spec.cols) {
                matrix
            } else {
                let resized = self.rules[member.rule].resize(spec, &matrix, self.workspace.backend())?;
                resized.ok_or_else(|| refuse("a buffer has another shape there"))?
            };
            block.state.put(spec.name, matrix);
        }
        Ok(block)
    }

    /// The second half.
    pub(super) fn take_state(
        &mut self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        checked: Checked<B>,
    ) -> Restored {
        self.steps = header.steps;
        self.progress = Progress::Whole;
        let (mut loaded, mut fresh) = (Vec::new(), Vec::new());
        for (member, block) in self.members.iter_mut().zip(checked) {
            let list = if block.is_some() { &mut loaded } else { &mut fresh };
            list.push(member.spec.name.clone());
            member.block = block.unwrap_or_default();
        }
        let names = options.names(header).unwrap_or_default();
        let unused = names.into_iter().filter(|name| !loaded.contains(name)).collect();
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
            loaded,
            fresh,
            unused,
        }
    }

    fn saved_parameter(&self, member: &Member<B>) -> SavedParameter {
        let Member { spec, block, .. } = member;
        let buffers = block.state.iter().filter(|_| block.steps > 0).map(|(name, matrix)| {
            let (rows, cols) = matrix.shape();
            SavedShape { name: name.into(), rows, cols }
        });
        SavedParameter {
            name: spec.name.clone(),
            rows: spec.rows,
            cols: spec.cols,
            rule: self.signature(STATE_VERSION, member),
            steps: block.steps,
            buffers: buffers.collect(),
        }
    }

    /// The rule as a header of this version names it.
    fn signature(&self, version: u32, member: &Member<B>) -> String {
        if member.is_live() { self.rules[member.rule].signature_in(version) } else { FROZEN.into() }
    }
}

/// The rule of a frozen parameter.
const FROZEN: &str = "frozen";

fn refuse(reason: &'static str) -> Error {
    Error::new("restore", ErrorKind::State { reason })
}

impl StateHeader {
    /// An error unless it can be that of an optimizer in `E`.
    fn check<E: Element>(&self) -> Result<()> {
        if !(OLDEST_STATE_VERSION..=STATE_VERSION).contains(&self.version) {
            return Err(refuse("it was written by another version"));
        }
        let widened = self.element == f32::NAME && E::NAME == f64::NAME;
        if self.element != E::NAME && !widened {
            return Err(refuse("it holds numbers of another type"));
        }
        if !(self.lr >= 0.0 && self.lr.is_finite()) {
            return Err(refuse("its learning rate is not a number that can be"));
        }
        let factor = |x: f64| x > 0.0 && x.is_finite();
        if self.run.as_ref().is_some_and(|run| !(factor(run.clip_factor) && factor(run.pre_clip_factor))) {
            return Err(refuse("the factor of a clip threshold is not a number that can be"));
        }
        let steps = self.parameters.iter().map(|saved| saved.steps).chain([self.steps]);
        if steps.max() > Some(MOST_STEPS) {
            return Err(refuse("it counts more steps than can be"));
        }
        Ok(())
    }
}

impl SavedParameter {
    /// The saved shape of a buffer. Version 1 does not tell: all buffers of the rule.
    fn shape_of(&self, version: u32, spec: &BufferSpec) -> Option<(usize, usize)> {
        if version < 2 {
            return (spec.name != MASTER).then_some((spec.rows, spec.cols));
        }
        let saved = self.buffers.iter().find(|saved| *saved.name == *spec.name)?;
        Some((saved.rows, saved.cols))
    }
}

impl RestoreOptions<'_> {
    /// The header's parameters under the names of this model.
    fn names(&self, header: &StateHeader) -> Result<Vec<Box<str>>> {
        let rename = |saved: &SavedParameter| match self.rename {
            Some(rename) => rename(&saved.name).into(),
            None => saved.name.clone(),
        };
        let names: Vec<Box<str>> = header.parameters.iter().map(rename).collect();
        match names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            Some((_, name)) => Err(refuse("the state has two parameters of this name").for_parameter(name)),
            None => Ok(names),
        }
    }
}
