//! Milliseconds by events of the device.

use spectra_cuda::cudarc::driver::{CudaStream, sys::CUevent_flags};
use std::error::Error;

/// Timed runs, after three that are not.
pub(crate) const RUNS: usize = 20;

/// The median time of what `queue` queues on the stream.
pub(crate) fn milliseconds(
    stream: &CudaStream,
    mut queue: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    for _ in 0..3 {
        queue()?;
    }
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
        let start = stream.record_event(timed)?;
        queue()?;
        let end = stream.record_event(timed)?;
        times.push(f64::from(start.elapsed_ms(&end)?));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
