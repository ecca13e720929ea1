//! Saving and restoring the state: what every file format of ours shares.

use super::Optimizer;
use super::model::Member;
use super::plan::Rule;
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result, Scalar};
use crate::directions::{Slot, Slots};
use crate::maps::SpectralMap;
use alloc::{boxed::Box, string::String, vec::Vec};

/// The version of the saved state's meaning.
pub const STATE_VERSION: u32 = 1;

/// The most steps that a saved state may count: up to here every count is a double of its own, as bias corrections
/// take it, and one more step is no overflow.
const MOST_STEPS: u64 = 1 << 53;

/// What a saved state says of itself besides the numbers.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct StateHeader {
    /// [`STATE_VERSION`] of the writer.
    pub version: u32,
    /// `"f32"` or `"f64"`.
    pub element: String,
    /// Steps taken.
    pub steps: u64,
    /// Current learning rate of the hidden matrices.
    pub lr: f64,
    /// The parameters, in order.
    pub parameters: Vec<SavedParameter>,
}

/// One parameter of a [`StateHeader`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SavedParameter {
    /// Its name.
    pub name: Box<str>,
    /// Rows of its matrix view.
    pub rows: usize,
    /// Columns of its matrix view.
    pub cols: usize,
    /// [`Recipe::signature`](super::Recipe::signature), or `"frozen"`.
    pub rule: String,
    /// Steps it has taken.
    pub steps: u64,
}

/// Buffers and steps of a parameter.
pub(super) type CheckedState<B> = (Slots<<B as Backend>::Matrix>, u64);

impl<B: Backend> Optimizer<B> {
    /// The header of a saved state; the numbers are those of [`buffers`](Self::buffers).
    pub fn header(&self) -> StateHeader {
        StateHeader {
            version: STATE_VERSION,
            element: B::Element::NAME.into(),
            steps: self.steps,
            lr: self.learning_rate(),
            parameters: self.members.iter().map(saved_parameter).collect(),
        }
    }

    /// Every state buffer: parameter name, slot, values.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, Slot, &B::Matrix)> {
        self.members.iter().flat_map(|member| {
            member.state.buffers().map(|(slot, matrix)| (member.spec.name.as_ref(), slot, matrix))
        })
    }

    /// Restores a saved state. `load(name, slot, rows, cols)` gives each buffer that the header implies.
    /// All or nothing: the optimizer changes only after everything has been checked.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for another version, element type, model or rule, a buffer of the wrong shape or with
    /// a non-finite number, naming the parameter; and whatever `load` returns.
    pub fn restore(
        &mut self,
        header: &StateHeader,
        load: impl FnMut(&str, Slot, usize, usize) -> Result<B::Matrix>,
    ) -> Result<()> {
        let checked = self.check_state(header, load)?;
        self.take_state(header, checked)
    }

    /// The checked state of every parameter; the first half of [`restore`](Self::restore), which changes nothing.
    pub(super) fn check_state(
        &self,
        header: &StateHeader,
        mut load: impl FnMut(&str, Slot, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Vec<CheckedState<B>>> {
        if header.version != STATE_VERSION {
            return Err(refuse("it was written by another version"));
        }
        if header.element != B::Element::NAME {
            return Err(refuse("it holds numbers of another type"));
        }
        if !(header.lr >= 0.0 && header.lr.is_finite()) {
            return Err(refuse("its learning rate is not a number that can be"));
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
            check_parameter(saved, member).map_err(named)?;
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
    pub(super) fn take_state(&mut self, header: &StateHeader, checked: Vec<CheckedState<B>>) -> Result<()> {
        self.set_learning_rate(header.lr)?;
        self.steps = header.steps;
        for (member, (slots, steps)) in self.members.iter_mut().zip(checked) {
            member.state.slots = slots;
            member.state.steps = steps;
        }
        Ok(())
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
        rule: rule(member),
        steps: member.state.steps,
    }
}

fn rule<B: Backend>(member: &Member<B>) -> String {
    if member.spec.rule == Rule::Frozen { "frozen".into() } else { member.state.recipe.signature() }
}

fn check_parameter<B: Backend>(saved: &SavedParameter, member: &Member<B>) -> Result<()> {
    let spec = &member.spec;
    if saved.name != spec.name {
        return Err(refuse("it has a parameter of another name here: it belongs to another model"));
    }
    if (saved.rows, saved.cols) != (spec.rows, spec.cols) {
        return Err(refuse("the parameter has another shape there"));
    }
    if saved.rule != rule(member) {
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
