//! Saving and restoring the state: what every file format of ours shares.

use super::header::{STATE_VERSION, SavedParameter, SavedRun, SavedShape, StateHeader};
use super::member::Member;
use super::parameter::BlockState;
use super::policy::{Matches, Place};
use super::progress::Progress;
use super::{Optimizer, ParameterSpec, RestoreOptions, Restored, Setting, differences, settings_of};
use crate::backend::{Backend, Element, Matrix, Result};
use alloc::{boxed::Box, vec::Vec};

/// What is restored.
pub(crate) struct Checked<B: Backend> {
    /// What becomes of a member: its saved state, or none.
    blocks: Vec<Option<BlockState<B::Matrix>>>,
    /// The names of what is left out.
    unused: Vec<Box<str>>,
}

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
    /// [`ErrorKind::State`](crate::backend::ErrorKind::State) for another version, element type, model or rule, a buffer of the wrong shape or with
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
    /// As [`restore`](Self::restore); with [`Missing::Refuse`](super::Missing::Refuse) a parameter that only one side has.
    pub fn restore_with(
        &mut self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        load: impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
    ) -> Result<Restored> {
        let checked = self.check_state(header, options, load, |_, block| Ok(block))?;
        Ok(self.take_state(header, checked))
    }

    /// The checked state of every parameter, of which `keep(index, block)` keeps what is to be here; the first half of
    /// [`restore_with`](Self::restore_with), which changes nothing.
    pub(super) fn check_state(
        &self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        mut load: impl FnMut(&str, &str, usize, usize) -> Result<B::Matrix>,
        mut keep: impl FnMut(usize, BlockState<B::Matrix>) -> Result<BlockState<B::Matrix>>,
    ) -> Result<Checked<B>> {
        header.check_element::<B::Element>()?;
        let names = self.members.iter().map(|member| (&*member.spec.name, member.is_live()));
        let Matches { saved, unused } = Matches::new(header, options, names)?;
        let mut blocks = Vec::with_capacity(saved.len());
        for (index, (member, saved)) in self.members.iter().zip(saved).enumerate() {
            let state = |saved: &SavedParameter| {
                let load = |name: &'static str, rows, cols| load(&saved.name, name, rows, cols);
                let block = self.place(member).state((header.version, saved), self.backend(), load)?;
                keep(index, block)
            };
            let block = saved.map(state).transpose();
            blocks.push(block.map_err(|error| error.for_parameter(&member.spec.name))?);
        }
        Ok(Checked { blocks, unused })
    }

    /// The second half.
    pub(crate) fn take_state(
        &mut self,
        header: &StateHeader,
        Checked { blocks, unused }: Checked<B>,
    ) -> Restored {
        self.steps = header.steps;
        self.progress = Progress::Whole;
        let (mut loaded, mut fresh) = (Vec::new(), Vec::new());
        for (member, block) in self.members.iter_mut().zip(blocks) {
            let list = if block.is_some() { &mut loaded } else { &mut fresh };
            list.push(member.spec.name.clone());
            member.block = block.unwrap_or_default();
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
            rule: self.place(member).signature(STATE_VERSION),
            steps: block.steps,
            buffers: buffers.collect(),
        }
    }

    /// Where a saved state of this member goes.
    fn place(&self, member: &Member<B>) -> Place<'_, B> {
        let ParameterSpec { rows, cols, weights, .. } = member.spec;
        let rule = self.rules.get(member.rule).filter(|_| member.is_live()).map(|rule| &**rule);
        Place { shape: (rows, cols), rule, weights }
    }
}
