//! What a step of a model costs, matrix by matrix.

use super::Optimizer;
use crate::backend::Backend;
use crate::distributed::Work;
use alloc::{boxed::Box, vec::Vec};

impl<B: Backend> Optimizer<B> {
    /// The work of every parameter, in their order: what is [placed](crate::distributed::Placing) on ranks.
    ///
    /// A spectral clip of its gradient comes before the step and takes the whole matrix.
    pub fn work(&self) -> Vec<Work> {
        self.members
            .iter()
            .map(|member| {
                let spec = &member.spec;
                let (name, shape) = (spec.name.clone(), (spec.rows, spec.cols));
                if !member.is_live() {
                    return Work::frozen(name, shape);
                }
                let work = member.with_rule(&self.rules, |rule| Work {
                    name,
                    shape,
                    rule: Box::from(rule.signature()),
                    flops: rule.flops(shape),
                    sharding: rule.sharding(shape),
                    is_live: true,
                });
                match self.config.pre_clip.filter(|clip| clip.concerns(spec.rule)) {
                    Some(clip) => Work { flops: work.flops + clip.clip.flops(shape), sharding: None, ..work },
                    None => work,
                }
            })
            .collect()
    }
}
