//! The runs, and what they ask of the heap.

use crate::heap::{HEAP, Usage};
use core::fmt::Write;
use spectra_core::backend::Result;
use spectra_cortex_m::Report;

/// All runs, or the lean one.
pub(crate) fn all(out: &mut impl Write) {
    #[cfg(feature = "lean")]
    measured("spectra", out, |report| spectra_cortex_m::tune_lean(report));
    #[cfg(not(feature = "lean"))]
    for run in spectra_cortex_m::RUNS {
        let _checksum = measured(run.preset, out, |report| spectra_cortex_m::tune(&run, report));
        #[cfg(feature = "serde")]
        resumed(&run, _checksum, out);
    }
}

/// A run, step by step; after the first no step may ask the allocator for anything. The checksum of the weights at the end.
fn measured(
    preset: &str,
    out: &mut impl Write,
    run: impl FnOnce(&mut dyn FnMut(&Report)) -> Result<()>,
) -> u64 {
    HEAP.reset();
    let (mut last, mut first) = (0, None);
    run(&mut |report| {
        let now = HEAP.usage();
        let first = first.get_or_insert(now);
        assert_eq!(now, *first, "{preset}: step {} asked for memory", report.step);
        if report.is_told() {
            writeln!(out, "{report}").expect("semihosting");
        }
        last = report.checksum;
    })
    .unwrap_or_else(|error| panic!("{preset}: {error}"));
    let Usage { bytes, most, calls } = first.expect("a step");
    writeln!(
        out,
        "device: {preset:<8} heap {bytes} bytes after each step, {most} at most; {calls} allocations until the first step's end, none later"
    )
    .expect("semihosting");
    last
}

/// A run once more, interrupted; it must come to the same weights.
#[cfg(all(feature = "serde", not(feature = "lean")))]
fn resumed(run: &spectra_cortex_m::Run, whole: u64, out: &mut impl Write) {
    HEAP.reset();
    let resumed = spectra_cortex_m::resume(run).unwrap_or_else(|error| panic!("{}: {error}", run.preset));
    assert_eq!(resumed.checksum, whole, "{}: a resumed run comes to other weights", run.preset);
    writeln!(out, "{resumed}").expect("semihosting");
    let most = HEAP.usage().most;
    writeln!(out, "device: {:<8} heap {most} bytes at most while it is saved and restored", run.preset)
        .expect("semihosting");
}
