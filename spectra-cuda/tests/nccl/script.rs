//! Every collective in a row, as a step may have them.

use crate::device::{Outcome, check_violations, simulator};
use crate::ranks::{Gpus, upload};
use spectra_core::backend::{Matrix, Result};
use spectra_core::distributed::{Axis, Collectives, Division, Gather, Reduce, Reduction};
use spectra_cuda::nccl::Nccl;
use spectra_cuda::{CudaBackend, CudaMatrix};
use std::sync::Barrier;

/// What a step may do with a group, on a few shapes; without words nothing is waited for.
pub(crate) struct Script {
    small: CudaMatrix<f32>,
    large: CudaMatrix<f32>,
    parts: Vec<CudaMatrix<f32>>,
    divisions: Vec<Division>,
}

impl Script {
    /// Calls of [`run`](Self::run).
    pub(crate) const CALLS: usize = 6;

    pub(crate) fn new(rank: usize, size: usize, backend: &CudaBackend<f32>) -> Result<Self> {
        let shape = (60, 50);
        let divisions = vec![
            Division::even(shape, Axis::Rows, size),
            Division::even(shape, Axis::Cols, size),
            Division::owned(shape, 0, size),
        ];
        let new = |(rows, cols)| upload(backend, (rows, cols), |i| i as f64);
        let parts = divisions.iter().map(|d| new(d.part(rank))).collect::<Result<_>>()?;
        Ok(Self { small: new((3, 4))?, large: new(shape)?, parts, divisions })
    }

    /// The call with this number.
    pub(crate) fn call(
        &mut self,
        at: usize,
        backend: &CudaBackend<f32>,
        group: &mut Nccl<f32>,
        words: &[u64],
    ) -> Result<()> {
        let mut number = self.small.dot(&self.small)?;
        match at {
            0 => group.sum(backend, &mut [&mut self.small], &mut [&mut number]),
            1 => group.sum(backend, &mut [&mut self.small, &mut self.large], &mut []),
            2 => group.max(backend, &number).map(drop),
            3 => {
                let pieces = (self.parts.iter_mut().zip(&self.divisions)).map(|(part, division)| Reduce {
                    whole: &self.large,
                    part,
                    division,
                });
                group.reduce(words, 0.5, &mut pieces.collect::<Vec<_>>()).map(drop)
            }
            4 => {
                for (part, division) in self.parts.iter().zip(&self.divisions) {
                    let mut piece = [Gather { part, whole: &mut self.large, division }];
                    group.gather(words, &mut piece, &mut |_| Ok(()))?;
                }
                Ok(())
            }
            _ if words.is_empty() => group.part(&self.large, &self.divisions[1], &mut self.parts[1]),
            _ => group.words(words).map(drop),
        }
    }

    pub(crate) fn run(
        &mut self,
        backend: &CudaBackend<f32>,
        group: &mut Nccl<f32>,
        words: &[u64],
    ) -> Result<()> {
        (0..Self::CALLS).try_for_each(|at| self.call(at, backend, group, words))
    }
}

pub(crate) fn nothing_waits_or_allocates() -> Outcome {
    let gpus = Gpus::new()?;
    for size in gpus.sizes() {
        for order in [Reduction::Ordered, Reduction::Fast] {
            let barrier = Barrier::new(size);
            let found = gpus.all::<f32, _>(size, |rank, backend, group| {
                let (mut group, mut script) = (group.reduction(order), Script::new(rank, size, backend)?);
                script.run(backend, &mut group, &[])?;
                script.run(backend, &mut group, &[])?;
                let counted = |read: &dyn Fn() -> (u64, u64)| {
                    barrier.wait();
                    let found = read();
                    barrier.wait();
                    found
                };
                let device = || {
                    simulator().map_or((0, 0), |simulator| {
                        let counters = simulator.counters();
                        (counters.host_waits(), counters.allocations_total)
                    })
                };
                let (before, tally) = (counted(&device), backend.tally());
                script.run(backend, &mut group, &[])?;
                let (after, tally) = (counted(&device), backend.tally() - tally);
                group.words(&[1])?;
                Ok((after.0 - before.0, after.1 - before.1, tally.waits, tally.allocations))
            })?;
            if found.iter().any(|found| *found != (0, 0, 0, 0)) {
                return Err(format!("{size} ranks, {order:?}: waits and allocations {found:?}").into());
            }
        }
    }
    check_violations()
}
