//! Operations and steps on a few small shapes, on the CPU device, or with the feature `wgpu` on a software driver, for which
//! every shape is compiled anew: `spectra-burn/wgpu.sh`.

use crate::common::{distance, gradient, largest, layer_on, random, values};
use crate::model::{LR, ROUNDING, read, upload};
use burn::tensor::{DType, Device};
use spectra_burn::{BurnBackend, SpectralConfig};
use spectra_core::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result, Scalar, ScalarOp};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::{ParameterState, Rates, Recipe};

#[cfg(not(feature = "wgpu"))]
fn device() -> Device {
    Device::flex()
}

/// WGSL on llvmpipe: Mesa's Vulkan driver lavapipe (22.3) crashes in sums and products.
#[cfg(feature = "wgpu")]
fn device() -> Device {
    use burn::tensor::{DeviceKind, wgpu::WgpuBackend};
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let options = || Device::wgpu_options().device_kind(DeviceKind::Cpu).graphics_api(WgpuBackend::Gl);
    DEVICE.get_or_init(|| options().init().unwrap()).clone()
}

fn numbers((rows, cols): (usize, usize), seed: u64) -> Vec<f32> {
    values(random([rows, cols], seed, DType::F32)).iter().map(|x| *x as f32).collect()
}

/// Every required operation on `m x n` matrices with entries in [-1, 1), with a coefficient on the host and one on
/// the device.
fn results<B: Backend<Element = f32>>(
    b: &B,
    (m, n): (usize, usize),
) -> Result<Vec<(&'static str, Vec<f32>)>> {
    let make = |shape: (usize, usize), seed| b.upload(shape.0, shape.1, &numbers(shape, seed));
    let (x, y) = (make((m, n), 1)?, make((m, n), 2)?);
    let mut square = b.zeros(m, n, None)?;
    square.product_add(Coefficient::ZERO, Coefficient::ONE, &y, &y)?;
    let norm = x.dot(&x)?.sqrt()?;
    let inverse = B::Scalar::combine(ScalarOp::Div, &b.scalar(1.0)?, &norm)?;
    let (beta, alpha) = (Coefficient::from(0.5), Coefficient::device(-2.0, &inverse));
    let mut out = Vec::new();
    let mut keep = |name, matrix: B::Matrix| -> Result<()> {
        let (rows, cols) = matrix.shape();
        let mut values = vec![0.0; rows * cols];
        matrix.read(&mut values)?;
        out.push((name, values));
        Ok(())
    };
    let mut w = make((m, n), 3)?;
    w.scale_add(beta, alpha, &x)?;
    keep("scale_add", w)?;
    let mut w = make((m, n), 3)?;
    w.product_add(beta, alpha, &x, &y)?;
    keep("product_add", w)?;
    let mut w = make((m, n), 3)?;
    w.quotient_add(beta, alpha, &x, &square, 0.5)?;
    keep("quotient_add", w)?;
    let mut w = make((m, n), 3)?;
    w.sign_add(beta, alpha, &x)?;
    keep("sign_add", w)?;
    let mut w = make((m, m), 4)?;
    w.gemm(beta, alpha, &x, Op::Plain, &y, Op::Transposed)?;
    keep("gemm, right transposed", w)?;
    let mut w = make((n, n), 5)?;
    w.gemm(beta, alpha, &x, Op::Transposed, &y, Op::Plain)?;
    keep("gemm, left transposed", w)?;
    out.push(("dot", vec![x.dot(&y)?.read()? as f32]));
    out.push(("max_abs", vec![x.max_abs()?.read()? as f32]));
    Ok(out)
}

#[test]
fn operations_are_the_portable_backends() {
    for shape in [(3, 5), (9, 4)] {
        let found = results(&BurnBackend::<f32>::by_tensor_operations(&device()), shape).unwrap();
        let expected = results(&Dense::<f32>::new(), shape).unwrap();
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            // Sums of at most m n numbers below 1, on both sides, and ten operations more of up to 2.5 units each
            // (WGSL's division).
            let terms = (shape.0 * shape.1) as f64;
            let tolerance = (2.0 * terms + 25.0) * f64::from(f32::EPSILON) * terms;
            let error = distance(&wide(found), &wide(expected));
            assert!(error < tolerance, "{name} {shape:?}: {error:e} exceeds {tolerance:e}");
        }
    }
}

#[test]
fn steps_are_the_cores() {
    let shape = [12, 8];
    for preset in ["spectra", "spectra-adamw", "muon", "adamw"] {
        let recipe = Recipe::preset(preset).unwrap();
        let start = random(shape, 7, DType::F32);
        let mut model = layer_on(&device(), start.clone());
        let mut optimizer = SpectralConfig::new(recipe.into()).init_for(&model).unwrap();
        let mut weights = upload(start.clone().transpose());
        let mut state = ParameterState::<Faer<f64>>::new(recipe).unwrap();
        let mut workspace = Workspace::new(Faer::new());
        for step in 0..3 {
            let given = random(shape, 200 + step, DType::F32);
            let drawn = gradient(&model.weight, given.clone().to_device(&device()));
            model = optimizer.step(LR, model, drawn).unwrap();
            let given = upload(given.transpose());
            let rates = Rates::new(LR);
            state.step(&mut weights, &Gradient::new(&given), rates, &mut workspace).unwrap();
        }
        let (found, expected) = (values(model.weight.val().inner().transpose()), read(&weights));
        let moved = distance(&expected, &values(start.transpose()));
        // As in f64, and the weights are rounded in every step.
        let unit = f64::from(f32::EPSILON);
        let tolerance = ROUNDING * unit / f64::EPSILON * moved + 3.0 * unit * largest(&expected);
        let error = distance(&found, &expected);
        assert!(error < tolerance && tolerance < 0.1 * moved, "{preset}: {error:e} of {moved:e}");
    }
}
