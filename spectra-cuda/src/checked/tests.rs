//! What the simulated device finds in kernels that are wrong, and each kernel in both orders of its threads.

use super::source::source;
use super::{Buffer, Coefficients, Device, Elementwise, Products, Region, Storage};
use crate::error::CudaError;
use spectra_core::backend::Result;
use spectra_cuda_simulator::{Selection, Simulator, ThreadOrder, select};
use std::sync::MutexGuard;

/// The simulated device, to be used by one test at a time; none on a real one or where it cannot be had.
pub(crate) fn simulator() -> Option<(Simulator, MutexGuard<'static, ()>)> {
    let Selection::Simulated(simulator) = select() else { return None };
    let alone = simulator.exclusive();
    simulator.reset();
    simulator.set_thread_order(ThreadOrder::Forward);
    Some((simulator, alone))
}

/// A device whose source was changed.
pub(super) fn device(edit: impl FnOnce(String) -> String) -> Result<Device> {
    let stream = crate::open(0)?.default_stream();
    let device = Device::with_source(&stream, Products::F64, edit(source("double")));
    device.map_err(|error| error.at("device"))
}

/// The source with one piece replaced, which must be there.
fn replace(from: &str, to: &str) -> impl FnOnce(String) -> String {
    move |source| {
        assert!(source.contains(from), "the kernels have changed: no {from:?}");
        source.replacen(from, to, 1)
    }
}

/// A matrix of the numbers 1, 2, ...
fn numbers(device: &Device, rows: usize, cols: usize) -> std::result::Result<(Buffer, Region), CudaError> {
    let buffer = device.allocate::<f64>(rows * cols)?;
    let values = (0..rows * cols).map(|i| (i + 1) as f64).collect::<Vec<_>>();
    // SAFETY: the buffer has just been made for them.
    unsafe { device.upload(buffer.pointer(), values) }?;
    let region =
        Region { pointer: buffer.pointer(), rows, cols, ld: cols, storage: Storage::Element, count: 1 };
    Ok((buffer, region))
}

pub(super) fn download(device: &Device, region: Region) -> Vec<f64> {
    let mut values = vec![0.0; region.rows * region.cols];
    // SAFETY: the region holds as many.
    unsafe { device.download(region.pointer, &mut values) }.unwrap();
    device.wait().unwrap();
    values
}

#[test]
fn a_loop_that_runs_past_the_end_is_caught() {
    let Some((simulator, _alone)) = simulator() else { return };
    let edit = replace("at < cols ? ((const REAL *)", "at < cols + 64 ? ((const REAL *)");
    let device = device(edit).unwrap();
    // A whole number of pages, so that the entry after the last one is not the allocation's.
    let (_x, x) = numbers(&device, 1, 512).unwrap();
    let (_out, out) = numbers(&device, 1, 512).unwrap();
    let c = Coefficients::of([0.0, 1.0, 1.0, 1.0]);
    let launched = device.elementwise(Elementwise::Scale, out, false, &c, x, None, 0.0);
    let violations = simulator.violations();
    assert!(violations.iter().any(|text| text.contains("scale_add")), "{launched:?}, {violations:?}");
    simulator.reset();
}

#[test]
fn a_missing_barrier_is_caught() {
    let Some((simulator, _alone)) = simulator() else { return };
    // Without the barrier after the stores, the tree adds what is not there yet.
    let edit = replace("shared[threadIdx.x] = value;\n    __syncthreads();", "shared[threadIdx.x] = value;");
    let sums = |edit: Box<dyn FnOnce(String) -> String>| {
        let device = device(edit).unwrap();
        let (_x, x) = numbers(&device, 1, 700).unwrap();
        let result = device.allocate::<f64>(1).unwrap();
        let place = Region {
            pointer: result.pointer(),
            rows: 1,
            cols: 1,
            ld: 1,
            storage: Storage::Element,
            count: 1,
        };
        [ThreadOrder::Forward, ThreadOrder::Reverse].map(|order| {
            simulator.set_thread_order(order);
            device.dot(x, x, result.pointer()).unwrap();
            download(&device, place)[0]
        })
    };
    let exact: f64 = (1..=700).map(|i| f64::from(i) * f64::from(i)).sum();
    assert_eq!(sums(Box::new(|source| source)), [exact; 2]);
    let wrong = sums(Box::new(edit));
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    assert!(!same(wrong[0], wrong[1]) && wrong.iter().any(|sum| !same(*sum, exact)), "{wrong:?}");
    simulator.reset();
}

/// Sides that are no multiples of a tile, more tiles than blocks of a thread's loop, and gaps between the rows of either.
#[test]
fn a_transpose_has_each_number_in_its_place() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_race_checks(true);
    let device = device(|source| source + "\n// checked for races").unwrap();
    simulator.set_race_checks(false);
    for (rows, cols) in [(1, 1), (1, 70), (33, 5), (32, 64), (70, 99)] {
        for (gap, order) in [(0, ThreadOrder::Forward), (3, ThreadOrder::Reverse)] {
            simulator.set_thread_order(order);
            // `x` is a block of wider rows, and so is what it goes to.
            let (_x, whole) = numbers(&device, cols, rows + gap).unwrap();
            let (_out, into) = numbers(&device, rows, cols + gap).unwrap();
            let x = Region { cols: rows, ..whole };
            device.transpose(Region { cols, ..into }, x).unwrap();
            let found = download(&device, into);
            for (k, found) in found.iter().enumerate() {
                let (i, j) = (k / (cols + gap), k % (cols + gap));
                let expected = if j < cols { j * (rows + gap) + i } else { k } + 1;
                assert_eq!(*found, expected as f64, "{rows} x {cols}, gap {gap}: ({i}, {j})");
            }
        }
    }
    simulator.check().unwrap();
}

#[test]
fn a_transpose_without_its_barrier_or_its_bounds_is_caught() {
    let Some((simulator, _alone)) = simulator() else { return };
    let barrier = "get(x_view, left + i, top + lane);\n        }\n        __syncthreads();";
    let without = barrier.replace("__syncthreads();", "");
    let turned = |device: &Device| {
        let (_x, x) = numbers(device, 32, 16).unwrap();
        let (_out, out) = numbers(device, 16, 32).unwrap();
        [ThreadOrder::Forward, ThreadOrder::Reverse].map(|order| {
            simulator.set_thread_order(order);
            let launched = device.transpose(out, x).is_ok() && simulator.violations().is_empty();
            launched.then(|| download(device, out))
        })
    };
    let [a, b] = turned(&device(replace(barrier, &without)).unwrap());
    assert!(a.is_some() && a != b, "the missing barrier is overlooked");
    let device = device(replace("top + i < rows && left + lane < cols", "left + lane < cols")).unwrap();
    turned(&device);
    let violations = simulator.violations();
    assert!(violations.iter().any(|text| text.contains("transpose")), "{violations:?}");
    simulator.reset();
}

#[test]
fn a_kernel_that_does_not_compile_is_an_error_with_the_compilers_words() {
    let Some((_simulator, _alone)) = simulator() else { return };
    let error = device(replace("double constant;", "double constant")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("NVRTC did not compile the kernels") && text.contains("error"), "{text}");
}
