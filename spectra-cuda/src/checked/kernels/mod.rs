//! One typed function for each kernel, in the files that the kernels' own are named after.

mod collectives;
mod elementwise;
mod low_rank;
mod power;
mod reductions;
mod rounding;
mod scalars;
mod small_factor;

pub(crate) use collectives::{Join, Summands};
pub(crate) use elementwise::{Average, Elementwise, Of};
pub(crate) use small_factor::Factorization;

use super::tally::Counters;
use super::{Device, Region};
use spectra_core::backend::{Error, ErrorKind, Result};

/// Queues a kernel with arguments in the order of its parameters, whose types the called function guarantees.
macro_rules! launch {
    ($device:expr, $kernel:expr, $config:expr, ($($arg:expr),+ $(,)?)) => {{
        use cudarc::driver::{CudaFunction, LaunchConfig, PushKernelArg};
        let (device, kernel, config): (&crate::checked::Device, &CudaFunction, LaunchConfig) =
            ($device, $kernel, $config);
        #[cfg(test)]
        crate::checked::interleave::point();
        let noted = crate::checked::script::launch(device, kernel, config, |script| {
            $(script.push($arg);)+
        });
        if noted {
            Ok(())
        } else {
            let mut builder = device.stream.launch_builder(kernel);
            $(let arg = $arg;
            builder.arg(&arg);)+
            // SAFETY: the arguments have the types of the kernel's parameters, in order, and every pointer is to live
            // memory of at least the size that the kernel's loop covers: the caller is the kernel's one function.
            let done = unsafe { builder.launch(config) };
            crate::checked::tally::Counters::add(&device.counters.launches, 1);
            done.map(drop).map_err(crate::error::CudaError::from)
        }
    }};
}
use launch;

/// The loop over entries: one long row where nothing has gaps.
fn flat(regions: &[Region]) -> (usize, usize) {
    let (rows, cols) = regions[0].shape();
    if regions.iter().all(Region::is_contiguous) { (1, rows * cols) } else { (rows, cols) }
}

impl Device {
    /// An error if one is a stack, for what works on single matrices alone.
    pub(crate) fn refuse_stacks<const N: usize>(
        &self,
        operation: &'static str,
        regions: [Region; N],
    ) -> Result<()> {
        let what = "a stack of matrices";
        let is_single = regions.iter().all(|region| region.count == 1);
        if is_single { Ok(()) } else { Err(Error::new(operation, ErrorKind::Unsupported { what })) }
    }

    fn count_bytes(&self, read: &[Region], written: &[Region]) {
        let width = self.products().width();
        let bytes: usize = read.iter().chain(written).map(|region| region.bytes(width)).sum();
        Counters::add(&self.counters.bytes, bytes);
    }
}
