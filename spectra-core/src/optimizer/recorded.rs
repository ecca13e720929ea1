//! For devices to which a step's work goes only when the host is through with it.

use super::Optimizer;
use super::progress::Progress;
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::maps::SoftClipMethod;
use crate::rules::Batching;
use alloc::vec::Vec;

/// What the host has counted before a step.
#[derive(Debug, Clone)]
pub struct StepCounts {
    model: u64,
    blocks: Vec<u64>,
    progress: Progress,
}

impl<B: Backend> Optimizer<B> {
    /// An error unless a step asks for the same operations whatever the numbers are, and reads none: what a device can record once and
    /// repeat, and [`forget_step`](Self::forget_step) can take back.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] with the first setting that makes the host read, or the first rule, and its parameter, that is not
    /// [`Batching::Stacked`].
    pub fn check_repeats(&self) -> Result<()> {
        let refuse =
            |name: &str, reason| Err(Error::new("graphs", ErrorKind::Name { name: name.into(), reason }));
        if self.config.check_finite {
            return refuse("check_finite", "reads a number in each step: no graph can");
        }
        let fixed = |clip: super::PreClip| matches!(clip.clip.method, SoftClipMethod::Fixed { .. });
        if !self.config.pre_clip.is_none_or(fixed) {
            return refuse(
                "pre_clip",
                "reads a bound in each step: no graph can; SoftClipMethod::Fixed does not",
            );
        }
        for member in self.members.iter().filter(|member| member.is_live()) {
            let rule = &self.rules[member.rule];
            if rule.batching() != Batching::Stacked {
                let reason = "may read numbers in a step, or decide by them: no graph can";
                let kind = ErrorKind::Name { name: rule.signature().into(), reason };
                return Err(Error::new("graphs", kind).for_parameter(&member.spec.name));
            }
        }
        Ok(())
    }

    /// Whether all buffers of parameter `index` exist: its rule makes them in a step of their own, in which it may read.
    pub fn has_buffers(&self, index: usize) -> bool {
        self.members.get(index).is_none_or(|member| {
            let shape = (member.spec.rows, member.spec.cols);
            let buffers = member.with_rule(&self.rules, |rule| rule.buffers(shape));
            buffers.iter().all(|buffer| member.block.state.get(buffer.name).is_some())
        })
    }

    /// What is counted so far.
    pub fn step_counts(&self) -> StepCounts {
        let blocks = self.members.iter().map(|member| member.block.steps).collect();
        StepCounts { model: self.steps, blocks, progress: self.progress }
    }

    /// Takes back what the host has counted since, in a step of which the device has done nothing, and in which no buffer was made.
    pub fn forget_step(&mut self, before: StepCounts) {
        (self.steps, self.progress) = (before.model, before.progress);
        for (member, steps) in self.members.iter_mut().zip(before.blocks) {
            member.block.steps = steps;
            member.report = None;
        }
    }

    /// A step that the host has finished has not come to its end on the device: as if one of its updates had failed.
    pub fn fail_step(&mut self) {
        let first = self.members.iter().position(super::member::Member::is_live);
        self.progress = Progress::Failed(first.unwrap_or(0));
    }

    /// [`Workspace::arrange`](crate::linalg::Workspace::arrange) of all temporaries.
    pub fn arrange(&mut self, place: impl Fn(&B::Matrix) -> u64) {
        self.workspace.arrange(&place);
        self.stacks.arrange(&place);
    }
}
