//! The runs on the device: prints what the host prints, and the memory it takes. Ends QEMU with an error unless all is as promised.
#![no_std]
#![no_main]

mod heap;
mod memory;

// Its panic handler prints where and why, and ends QEMU with an error.
use panic_semihosting as _;

use core::fmt::Write;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio};
use heap::HEAP;
use spectra_cortex_m::{RUNS, Run, tune};

#[entry]
fn main() -> ! {
    heap::init();
    let mut out = hio::hstdout().expect("semihosting");
    for run in RUNS {
        let checksum = measured(&run, &mut out);
        #[cfg(feature = "serde")]
        resumed(&run, checksum, &mut out);
        #[cfg(not(feature = "serde"))]
        let _ = checksum;
    }
    memory::print(&mut out).expect("semihosting");
    loop {
        debug::exit(debug::EXIT_SUCCESS);
    }
}

/// The run, step by step; after the first no step may ask the allocator for anything. The checksum of the weights at the end.
fn measured(run: &Run, out: &mut impl Write) -> u64 {
    HEAP.reset();
    let (mut last, mut first) = (0, None);
    tune(run, |report| {
        let now = HEAP.usage();
        let first = first.get_or_insert(now);
        assert_eq!(now, *first, "{}: step {} changed the heap", run.preset, report.step);
        if report.is_told() {
            writeln!(out, "{report}").expect("semihosting");
        }
        last = report.checksum;
    })
    .unwrap_or_else(|error| panic!("{}: {error}", run.preset));
    let heap::Usage { bytes, most, calls } = first.expect("a step");
    writeln!(
        out,
        "device: {:<8} heap {bytes} bytes after each step, {most} at most; {calls} allocations until the first step's end, none later",
        run.preset
    )
    .expect("semihosting");
    last
}

/// The run once more, interrupted.
#[cfg(feature = "serde")]
fn resumed(run: &Run, whole: u64, out: &mut impl Write) {
    HEAP.reset();
    let resumed = spectra_cortex_m::resume(run).unwrap_or_else(|error| panic!("{}: {error}", run.preset));
    assert_eq!(resumed.checksum, whole, "{}: a resumed run comes to other weights", run.preset);
    writeln!(out, "{resumed}").expect("semihosting");
    let most = HEAP.usage().most;
    writeln!(out, "device: {:<8} heap {most} bytes at most while it is saved and restored", run.preset)
        .expect("semihosting");
}
