//! From the list to a stream, by itself or into a graph.

use super::{Command, Launch, Pair, Script};
use crate::error::CudaError;
use crate::raw::blas::{Blas, Factors};
use cudarc::driver::result;
use cudarc::driver::sys::{CUdeviceptr, CUstream};

/// Where what is queued finds its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    /// Of the numbers of kernels; after them come those of products.
    pub(super) place: CUdeviceptr,
    /// The products that find their factors there.
    pub(super) products: &'a [usize],
    pub(super) double: bool,
}

impl Script {
    /// What the table is to hold, in its order.
    pub(super) fn table(&self, products: &[usize], double: bool) -> Vec<u64> {
        let mut table = self.numbers.clone();
        let word = |x: f64| if double { x.to_bits() } else { u64::from((x as f32).to_bits()) };
        for index in products {
            if let Some(Command::Product(_, Pair::Host { beta, alpha })) = self.commands.get(*index) {
                table.extend([word(*beta), word(*alpha)]);
            }
        }
        table
    }

    /// Queues everything on `stream`, which is that of `blas`.
    ///
    /// # Safety
    /// All memory that was used when it was recorded must still be there; the table must hold [`table`](Self::table).
    pub(super) unsafe fn queue(
        &self,
        stream: CUstream,
        blas: &Blas,
        table: Table<'_>,
    ) -> Result<(), CudaError> {
        let mut words = self.words.clone();
        for at in &self.places {
            words[*at] += table.place;
        }
        for (index, command) in self.commands.iter().enumerate() {
            match command {
                Command::Kernel(launch) => {
                    // SAFETY: the arguments are those that the launch was recorded with.
                    unsafe { self.launch(launch, &words, stream) }?;
                }
                Command::Product(product, pair) => {
                    // SAFETY: the caller's promise.
                    unsafe { blas.run(product, &self.factors(index, *pair, table)) }?;
                }
                Command::Upload { to, bytes } => {
                    // SAFETY: there was room for them when this was recorded. The driver takes pageable memory to a place of its own.
                    unsafe { result::memcpy_htod_async(*to, bytes, stream) }?;
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// `words` hold the arguments of the launch, in the order and of the types of the kernel's parameters.
    unsafe fn launch(&self, launch: &Launch, words: &[u64], stream: CUstream) -> Result<(), CudaError> {
        let starts = &self.arguments[launch.arguments.clone()];
        let mut parameters: Vec<_> =
            starts.iter().map(|start| words[*start..].as_ptr().cast_mut().cast()).collect();
        let Launch { function, grid, block, shared, .. } = launch;
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        unsafe { result::launch_kernel(function.0, *grid, *block, *shared, stream, &mut parameters) }?;
        Ok(())
    }

    fn factors(&self, index: usize, pair: Pair, table: Table<'_>) -> Factors<'static> {
        match table.products.iter().position(|known| *known == index) {
            Some(at) => {
                let beta = table.place + 8 * (self.numbers.len() + 2 * at) as CUdeviceptr;
                Pair::Device { beta, alpha: beta + 8 }
            }
            None => pair,
        }
        .factors(table.double)
    }
}
