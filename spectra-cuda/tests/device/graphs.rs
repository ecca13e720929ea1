//! Captured work, replayed: with numbers of the replay, in memory that stays, and beside the work of others.

use crate::device::{Outcome, check_violations, stream};
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Scalar, ScalarOp};
use spectra_core::linalg::{Workspace, orthonormalize, uniform};
use spectra_cuda::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use spectra_cuda::cudarc::driver::{CudaGraph, CudaStream};
use spectra_cuda::{CudaBackend, CudaMatrix, Error, Precision};
use std::fmt::Debug;
use std::sync::Arc;

type Own = CudaBackend<f64>;

/// Runs `test` on a stream that can be captured, with a backend of its own.
pub(crate) fn on_a_stream(test: impl FnOnce(&Arc<CudaStream>, &Own) -> Outcome) -> Outcome {
    let context = stream()?.context().clone();
    // SAFETY: from here on one stream does everything; the default one is idle after the wait.
    let stream = unsafe {
        context.synchronize()?;
        context.disable_event_tracking();
        context.new_stream()?
    };
    let outcome =
        CudaBackend::new(&stream, Precision::F32).map_err(Into::into).and_then(|own| test(&stream, &own));
    // SAFETY: the stream is idle; what follows uses the default stream alone.
    unsafe {
        stream.synchronize()?;
        context.enable_event_tracking();
    }
    outcome.and_then(|()| check_violations())
}

/// What `work` queues, as a graph.
fn capture(
    stream: &Arc<CudaStream>,
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<CudaGraph, Box<dyn std::error::Error>> {
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    let done = work();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0));
    done?;
    Ok(graph?.ok_or("no graph was captured")?)
}

fn read(matrix: &CudaMatrix<f64>) -> Result<Vec<f64>, Error> {
    let mut values = vec![0.0; matrix.shape().0 * matrix.shape().1];
    matrix.read(&mut values)?;
    Ok(values)
}

fn ensure_equal<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}").into()) }
}

/// A coefficient that the device computes is that of the replay, not of the capture: alone, in a product, and with a program
/// so long that it is computed by itself.
pub(crate) fn coefficients_follow_the_device() -> Outcome {
    on_a_stream(|stream, own| {
        let mut x = own.upload(1, 1, &[3.0])?;
        let one = own.upload(1, 1, &[1.0])?;
        let mut out = [own.zeros(1, 1, None)?, own.zeros(1, 1, None)?, own.zeros(1, 1, None)?];
        let graph = capture(stream, || {
            let square = x.dot(&x)?;
            let root = square.sqrt()?;
            let mut sums = [square.clone(), root.clone()];
            for sum in &mut sums {
                for i in 0..20 {
                    *sum = Scalar::combine(ScalarOp::Add, sum, &own.scalar(f64::from(i))?)?;
                }
            }
            out[0].scale_add(Coefficient::ZERO, Coefficient::device(2.0, &square), &one)?;
            out[1].gemm(
                Coefficient::ZERO,
                Coefficient::device(1.0, &root),
                &x,
                Op::Plain,
                &one,
                Op::Plain,
            )?;
            out[2].copy_from(&one)?;
            out[2].scale_add(Coefficient::device(1.0, &sums[0]), Coefficient::device(1.0, &sums[1]), &one)
        })?;
        for value in [3.0, 5.0, 7.0] {
            x.write(&[value])?;
            graph.launch()?;
            let square = value * value;
            // 0 + 1 + ... + 19 = 190, in both.
            let expected = [2.0 * square, square, square + 190.0 + (value + 190.0)];
            for (out, expected) in out.iter().zip(expected) {
                ensure_equal(&format!("replayed for {value}"), &read(out)?, &vec![expected])?;
            }
        }
        Ok(())
    })
}

/// Working memory that a graph uses stays when a later call needs more.
pub(crate) fn working_memory_that_others_outgrow() -> Outcome {
    on_a_stream(|stream, own| {
        let numbers =
            |rows: usize, cols: usize| (0..rows * cols).map(|i| uniform(1, i, 0)).collect::<Vec<_>>();
        let mut workspace = Workspace::new(own.clone());
        let start = own.upload(6, 2, &numbers(6, 2))?;
        let mut p = own.upload(6, 2, &numbers(6, 2))?;
        orthonormalize(&mut p, &mut workspace)?;
        let expected = read(&p)?;
        let graph = capture(stream, || {
            p.copy_from(&start)?;
            orthonormalize(&mut p, &mut workspace).map(drop)
        })?;
        let mut large = own.upload(500, 3, &numbers(500, 3))?;
        orthonormalize(&mut large, &mut Workspace::new(own.clone()))?;
        for _ in 0..2 {
            p.write(&[0.0; 12])?;
            graph.launch()?;
            stream.synchronize()?;
            ensure_equal("orthonormalised in the graph", &read(&p)?, &expected)?;
        }
        Ok(())
    })
}

/// A graph does not write the numbers of those who come after its capture.
pub(crate) fn numbers_of_others_are_left_alone() -> Outcome {
    on_a_stream(|stream, own| {
        let (x, y) = (own.upload(1, 1, &[3.0])?, own.upload(1, 1, &[5.0])?);
        let mut out = own.zeros(1, 1, None)?;
        let graph = capture(stream, || {
            let square = x.dot(&x)?;
            out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &square), &x)
        })?;
        let (square, largest) = (y.dot(&y)?, y.max_abs()?);
        graph.launch()?;
        ensure_equal("a norm from before the replay", &square.read()?, &25.0)?;
        ensure_equal("a maximum from before the replay", &largest.read()?, &5.0)?;
        ensure_equal("the graph's own result", &read(&out)?, &vec![27.0])
    })
}

/// What would read host memory at every replay, wait or allocate is refused by name, and the capture goes on.
pub(crate) fn what_a_graph_cannot_repeat() -> Outcome {
    on_a_stream(|stream, own| {
        let (mut x, mut out) = (own.upload(1, 1, &[3.0])?, own.zeros(1, 1, None)?);
        let square = x.dot(&x)?;
        let mut refused = Vec::new();
        let graph = capture(stream, || {
            refused.push(("write", x.write(&[4.0]).err()));
            refused.push(("read", x.read(&mut [0.0]).err()));
            refused.push(("read", square.read().err()));
            refused.push(("zeros", own.zeros(2, 2, None).err()));
            out.copy_from(&x)
        })?;
        for (name, error) in refused {
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            if !(text.starts_with(name) && text.contains("being captured in a graph")) {
                return Err(format!("{name} in a capture: {text:?}").into());
            }
        }
        graph.launch()?;
        ensure_equal("the graph", &read(&out)?, &vec![3.0])?;
        ensure_equal("a number from before the capture", &square.read()?, &9.0)
    })
}
