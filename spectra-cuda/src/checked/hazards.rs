//! What the exploration of two threads finds where device memory is shared wrongly, and that it accepts what is right: without this
//! its silence about the library would say nothing.

use super::interleave::{Body, explore};
use super::memory::lock;
use super::tests::{device, download, simulator};
use super::{Buffer, Coefficients, Device, Region, Storage};
use cudarc::driver::sys::CUdeviceptr;
use std::sync::Mutex;

/// How long a thread keeps the lock of what it shares.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    UntilAllIsQueued,
    UntilThePointerIsKnown,
}

fn region(pointer: CUdeviceptr) -> Region {
    Region { pointer, rows: 1, cols: 1, ld: 1, storage: Storage::Element, count: 1 }
}

/// Coefficients of which the first is the number at `place`.
fn loaded(place: CUdeviceptr) -> Coefficients {
    let mut c = Coefficients::of([1.0; 4]);
    (c.count, c.out[0], c.code[0].op, c.code[0].place) = (1, 0, 1, place);
    c
}

/// Leaves `number` in the shared place for the launch after, which copies it to `own`.
fn through_one_place(device: &Device, shared: &Mutex<Buffer>, held: Held, number: f64) -> f64 {
    let own = device.allocate::<f64>(1).unwrap();
    let mut guard = Some(lock(shared));
    let place = guard.as_ref().map_or(0, |buffer| buffer.pointer());
    if held == Held::UntilThePointerIsKnown {
        guard = None;
    }
    device.scalar_evaluate(place, &Coefficients::of([number; 4]), 1).unwrap();
    device.scalar_evaluate(own.pointer(), &loaded(place), 1).unwrap();
    drop(guard);
    download(device, region(own.pointer()))[0]
}

/// Writes the last of `count` numbers of memory that grows when it has to. False if the device has failed.
fn in_growing_memory(device: &Device, shared: &Mutex<Option<Buffer>>, held: Held, count: usize) -> bool {
    let mut guard = lock(shared);
    if !guard.as_ref().is_some_and(|buffer| buffer.holds(8 * count)) {
        match device.allocate::<f64>(count) {
            Ok(buffer) => *guard = Some(buffer),
            Err(_) => return false,
        }
    }
    let place = guard.as_ref().map_or(0, Buffer::pointer) + 8 * (count as u64 - 1);
    let guard = (held == Held::UntilAllIsQueued).then_some(guard);
    let queued = device.scalar_evaluate(place, &Coefficients::of([1.0; 4]), 1);
    drop(guard);
    queued.is_ok()
}

#[test]
fn a_number_left_for_the_next_launch_is_overwritten_unless_the_lock_is_kept() {
    let Some((simulator, _alone)) = simulator() else { return };
    let device = device(|source| source).unwrap();
    let shared = Mutex::new(device.allocate::<f64>(1).unwrap());
    let explored = |held| {
        let thread = |number: f64| -> Body<'_, f64> {
            let (device, shared) = (&device, &shared);
            Box::new(move || through_one_place(device, shared, held, number))
        };
        explore(2, &|| [thread(3.0), thread(5.0)], &|found| {
            found.map(f64::to_bits) == [3.0, 5.0].map(f64::to_bits)
        })
    };
    let (_, wrong) = explored(Held::UntilThePointerIsKnown);
    assert!(wrong.is_some(), "the exploration overlooks a number that is overwritten");
    let (count, wrong) = explored(Held::UntilAllIsQueued);
    assert_eq!(wrong, None);
    assert!(count >= 10, "only {count} interleavings");
    simulator.check().unwrap();
}

#[test]
fn memory_that_grows_is_used_after_it_was_freed_unless_the_lock_is_kept() {
    let Some((simulator, _alone)) = simulator() else { return };
    let device = device(|source| source).unwrap();
    let explored = |held| {
        let shared = Mutex::new(None);
        let thread = |count: usize| -> Body<'_, bool> {
            let (device, shared) = (&device, &shared);
            Box::new(move || in_growing_memory(device, shared, held, count))
        };
        let bodies = || {
            *lock(&shared) = None;
            [thread(10), thread(1000)]
        };
        explore(2, &bodies, &|queued| queued == [true; 2] && simulator.violations().is_empty()).1
    };
    // In this order: the device's failure stays with the context.
    assert_eq!(explored(Held::UntilAllIsQueued), None);
    assert!(
        explored(Held::UntilThePointerIsKnown).is_some(),
        "the exploration overlooks a use after the free"
    );
    let violations = simulator.violations();
    assert!(violations[0].contains("freed allocation"), "{violations:?}");
    simulator.reset();
}
