//! From a saved state to the matrices of a model.

use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result, Scalar};
use crate::optimizer::{
    BlockState, Missing, OLDEST_STATE_VERSION, RestoreOptions, STATE_VERSION, SavedParameter, StateHeader,
};
use crate::rules::{UpdateRule, Weights};
use crate::state::{BufferSpec, MASTER, SUBSPACE, State};
use alloc::{boxed::Box, string::String, vec::Vec};

/// The most steps that a saved state may count: up to here every count is a double of its own, as bias corrections
/// take it, and one more step is no overflow.
const MOST_STEPS: u64 = 1 << 53;

/// A matrix that a saved state may be restored to.
#[derive(Debug)]
pub struct Place<'a, B: Backend> {
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Its rule; `None`: frozen.
    pub rule: Option<&'a dyn UpdateRule<B>>,
    /// How its weights take an update, maybe by a master in the state.
    pub weights: Weights,
}

/// Which saved parameter goes to which matrix of a model.
#[derive(Debug, Clone)]
pub struct Matches<'h> {
    /// For each matrix, in its order; `None`: it begins anew.
    pub saved: Vec<Option<&'h SavedParameter>>,
    /// The saved parameters that are left out, under the names of the model.
    pub unused: Vec<Box<str>>,
}

impl<'h> Matches<'h> {
    /// Finds by name, for matrices `(name, whether it is not frozen)`.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a header whose numbers cannot be, or with two parameters of one name; with [`Missing::Refuse`] for a
    /// parameter that only one side has, by its name.
    pub fn new<'n>(
        header: &'h StateHeader,
        options: &RestoreOptions<'_>,
        matrices: impl Iterator<Item = (&'n str, bool)>,
    ) -> Result<Self> {
        header.check()?;
        let names = options.names(header)?;
        let (mut saved, mut used) = (Vec::new(), Vec::new());
        used.resize(names.len(), false);
        for (name, is_live) in matrices {
            let at = names.iter().position(|known| **known == *name);
            let found = at.and_then(|at| header.parameters.get(at));
            saved.push(match (found, options.missing) {
                (None, Missing::Refuse) => {
                    let reason = "the state has no parameter of this name: it belongs to another model";
                    return Err(refuse(reason).for_parameter(name));
                }
                (Some(saved), Missing::Fresh) if (saved.rule == FROZEN) == is_live => None,
                (found, _) => {
                    if let Some(used) = at.and_then(|at| used.get_mut(at)) {
                        *used = true;
                    }
                    found
                }
            });
        }
        let unused: Vec<_> =
            names.into_iter().zip(used).filter(|(_, used)| !used).map(|(name, _)| name).collect();
        match unused.first() {
            Some(name) if options.missing == Missing::Refuse => {
                let reason = "the model has no parameter of this name: the state belongs to another";
                Err(refuse(reason).for_parameter(name))
            }
            _ => Ok(Self { saved, unused }),
        }
    }
}

impl<B: Backend> Place<'_, B> {
    /// The rule as a header of this version names it.
    pub fn signature(&self, version: u32) -> String {
        self.rule.map_or_else(|| FROZEN.into(), |rule| rule.signature_in(version))
    }

    /// The state of `saved`, of a header of this version, once it is checked. `load(buffer, rows, cols)` gives each buffer that it
    /// speaks of, on `backend`. A tail shrink of another rank takes the saved subspace, with columns left out or random ones
    /// added. **Waits** for the device.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for another shape or rule, a buffer that is missing, too many, of the wrong shape or with a
    /// non-finite number; whatever `load` returns.
    pub fn state(
        &self,
        (version, saved): (u32, &SavedParameter),
        backend: &B,
        mut load: impl FnMut(&'static str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<BlockState<B::Matrix>> {
        if (saved.rows, saved.cols) != self.shape {
            return Err(refuse("the parameter has another shape there"));
        }
        if saved.rule != self.signature(version) {
            return Err(refuse("the parameter has another rule there"));
        }
        let mut block = BlockState { state: State::default(), steps: saved.steps };
        let Some(rule) = self.rule.filter(|_| saved.steps > 0) else { return Ok(block) };
        let specs = self.weights.with_rule(rule, "", |rule| rule.buffers(self.shape));
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
            let matrix = load(spec.name, rows, cols)?;
            if matrix.shape() != (rows, cols) {
                return Err(refuse("a buffer has the wrong shape"));
            }
            if !matrix.max_abs()?.read()?.is_finite() {
                return Err(refuse("a buffer holds a NaN or an infinity"));
            }
            let matrix = if spec.fits((rows, cols)) {
                kept(spec, matrix, backend)?
            } else {
                let resized = rule.resize(spec, &matrix, backend)?;
                resized.ok_or_else(|| refuse("a buffer has another shape there"))?
            };
            block.state.put(spec.name, matrix);
        }
        Ok(block)
    }
}

/// A buffer in the 16 bits of its rule, if it is kept in such: each number is rounded once.
fn kept<B: Backend>(spec: &BufferSpec, full: B::Matrix, backend: &B) -> Result<B::Matrix> {
    if spec.format.is_none() {
        return Ok(full);
    }
    let mut narrow = spec.make(backend, Some(&full))?;
    narrow.copy_from(&full)?;
    if narrow.max_abs()?.read()?.is_finite() {
        Ok(narrow)
    } else {
        Err(refuse("a buffer leaves the range of 16 bits"))
    }
}

/// The rule of a frozen parameter.
const FROZEN: &str = "frozen";

fn refuse(reason: &'static str) -> Error {
    Error::new("restore", ErrorKind::State { reason })
}

impl StateHeader {
    /// An error unless a state of `saved` numbers can be one of `E`.
    ///
    /// # Errors
    /// [`ErrorKind::State`].
    pub fn check_element<E: Element>(&self) -> Result<()> {
        let widened = self.element == f32::NAME && E::NAME == f64::NAME;
        if self.element == E::NAME || widened {
            return Ok(());
        }
        Err(refuse("it holds numbers of another type"))
    }

    /// An error unless its version and numbers can be.
    fn check(&self) -> Result<()> {
        if !(OLDEST_STATE_VERSION..=STATE_VERSION).contains(&self.version) {
            return Err(refuse("it was written by another version"));
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
