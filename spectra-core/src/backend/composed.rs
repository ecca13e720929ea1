//! The fused operations of [`Backend`] and [`Matrix`], composed of the required ones: the traits' defaults, for a backend to
//! call where it has nothing faster (in some of its memory, for some of its types).

use super::matrix::{Coef, Matrix, Op, check_same, check_shape};
use super::{Backend, Coefficient, Entrywise, Error, Fused, Gradient, Result};
use crate::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo, Workspace, divide_by_unit};

/// [`Backend::entrywise_add`].
///
/// # Errors
/// Shapes, another number of matrices, and those of the backend.
pub fn entrywise_add<B: Backend, const N: usize>(
    mut matrices: [&mut B::Matrix; N],
    (beta, alpha): (f64, f64),
    rule: Entrywise,
    gradient: &Gradient<'_, B::Matrix>,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    rule.check(&matrices.each_ref().map(|x| x.shape()), gradient.values.shape())?;
    let average = |x: &mut B::Matrix, beta: f64, weight: f64| {
        x.scale_add(beta.into(), gradient.scale.times(weight), gradient.values)
    };
    match (rule, matrices.as_mut_slice()) {
        (Entrywise::Momentum { mu, weight, nesterov, sign }, [out, m]) => {
            average(m, mu, weight)?;
            match (nesterov, sign) {
                (false, false) => out.scale_add(beta.into(), alpha.into(), m),
                (false, true) => out.sign_add(beta.into(), alpha.into(), m),
                (true, false) => {
                    average(out, beta, alpha * weight)?;
                    out.scale_add(Coefficient::ONE, (alpha * mu).into(), m)
                }
                (true, true) => {
                    let mut ahead = workspace.take_like(m, m.shape().1)?;
                    ahead.copy_from(m)?;
                    average(&mut ahead, mu, weight)?;
                    out.sign_add(beta.into(), alpha.into(), &ahead)?;
                    workspace.give(ahead);
                    Ok(())
                }
            }
        }
        (Entrywise::Lion { betas: (b1, b2) }, [out, m]) => {
            let mut blend = workspace.take_like(m, m.shape().1)?;
            blend.copy_from(m)?;
            average(&mut blend, b1, 1.0 - b1)?;
            out.sign_add(beta.into(), alpha.into(), &blend)?;
            workspace.give(blend);
            average(m, b2, 1.0 - b2)
        }
        (Entrywise::Adam { betas, eps, slow }, [out, first, second, rest @ ..]) => {
            // The square is that of the scaled gradient.
            let mut scaled = None;
            let g = if gradient.is_plain() {
                gradient.values
            } else {
                let place = scaled.insert(workspace.take_like(gradient.values, gradient.values.shape().1)?);
                place.scale_add(Coefficient::ZERO, gradient.scale, gradient.values)?;
                place
            };
            out.adam_add(beta.into(), alpha.into(), first, second, g, betas, eps)?;
            if let (Some((b3, a)), [slow]) = (slow, rest) {
                slow.scale_add(b3.into(), (1.0 - b3).into(), g)?;
                out.quotient_add(Coefficient::ONE, (alpha * a).into(), slow, second, eps)?;
            }
            if let Some(scaled) = scaled {
                workspace.give(scaled);
            }
            Ok(())
        }
        (Entrywise::Mars { betas, eps, weight }, [out, first, second, last]) => {
            // C in the place of L, which is needed no more.
            average(last, -weight, 1.0 + weight)?;
            let norm = divide_by_unit(&mut **last, gradient.values, workspace.backend())?;
            let clip = norm.clip_factor(1.0, 0.0, workspace.backend())?;
            let adam = Entrywise::Adam { betas, eps, slow: None };
            let clipped = Gradient::scaled(&**last, &clip);
            B::entrywise_add([&mut **out, first, second], (beta, alpha), adam, &clipped, workspace)?;
            last.scale_add(Coefficient::ZERO, gradient.scale, gradient.values)
        }
        // Refused above.
        (
            Entrywise::Momentum { .. }
            | Entrywise::Lion { .. }
            | Entrywise::Adam { .. }
            | Entrywise::Mars { .. },
            _,
        ) => Ok(()),
    }
}

/// [`Fused::adam_add`] on `out`.
///
/// # Errors
/// Shapes.
pub fn adam_add<M: Matrix>(
    out: &mut M,
    beta: Coef<'_, M>,
    alpha: Coef<'_, M>,
    first: &mut M,
    second: &mut M,
    gradient: &M,
    (b1, b2): (f64, f64),
    eps: f64,
) -> Result<()> {
    check_same("adam_add", out, first)?;
    check_same("adam_add", out, second)?;
    check_same("adam_add", out, gradient)?;
    first.scale_add(b1.into(), (1.0 - b1).into(), gradient)?;
    second.product_add(b2.into(), (1.0 - b2).into(), gradient, gradient)?;
    out.quotient_add(beta, alpha, first, second, eps)
}

/// [`Fused::power_sweep`] on `matrix`.
///
/// # Errors
/// Shapes.
pub fn power_sweep<M: Fused>(
    matrix: &mut M,
    update: Option<(f64, &Gradient<'_, M>)>,
    alpha: f64,
    v: &M,
    p: &mut M,
    gram: &mut M,
    z: &mut M,
) -> Result<M::Scalar> {
    let ((m, n), k) = (matrix.shape(), v.shape().1);
    check_shape("power_sweep", (n, k), v.shape())?;
    check_shape("power_sweep", (m, k), p.shape())?;
    check_shape("power_sweep", (k, k), gram.shape())?;
    check_shape("power_sweep", (n, k), z.shape())?;
    if let Some((mu, gradient)) = update {
        matrix.scale_add(mu.into(), gradient.scale, gradient.values)?;
    }
    p.gemm(Coefficient::ZERO, alpha.into(), matrix, Op::Plain, v, Op::Plain)?;
    gram.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, p, Op::Transposed, p, Op::Plain)?;
    z.gemm(Coefficient::ZERO, alpha.into(), matrix, Op::Transposed, p, Op::Plain)?;
    matrix.dot(matrix)
}

/// [`Fused::low_rank_add`] on `out`.
///
/// # Errors
/// Shapes.
pub fn low_rank_add<M: Matrix>(
    out: &mut M,
    beta: Coef<'_, M>,
    alpha: Coef<'_, M>,
    x: &M,
    left: &M,
    right: &M,
) -> Result<()> {
    let ((m, n), k) = (out.shape(), left.shape().1);
    check_shape("low_rank_add", (m, k), left.shape())?;
    check_shape("low_rank_add", (n, k), right.shape())?;
    out.scale_add(beta, alpha, x)?;
    out.gemm(Coefficient::ONE, alpha.times(-1.0), left, Op::Plain, right, Op::Transposed)
}

/// [`Fused::gram_schmidt`] on the host: **waits** for a device.
///
/// # Errors
/// Those of the device.
pub fn gram_schmidt<M: Matrix>(x: &mut M, scratch: &mut Scratch<M::Element>) -> Result<()> {
    let (m, k) = x.shape();
    x.read(scratch.slices(m * k, 0).0)?;
    scratch.orthonormalize(m, k);
    x.write(scratch.slices(m * k, 0).0)
}

/// [`Fused::seed_zero_columns`] on the host: **waits** for a device.
///
/// # Errors
/// Those of the device.
pub fn seed_zero_columns<M: Matrix>(x: &mut M, seed: u64, scratch: &mut Scratch<M::Element>) -> Result<()> {
    let (n, k) = x.shape();
    let (values, _) = scratch.slices(n * k, 0);
    x.read(values)?;
    crate::linalg::seed_zero_columns(k, values, seed);
    x.write(values)
}

/// [`Fused::round_stochastic`] by way of the host.
///
/// # Errors
/// Those of the device.
pub fn round_stochastic<M: Matrix>(
    x: &mut M,
    format: SixteenBits,
    seed: u64,
    scratch: &mut Scratch<M::Element>,
) -> Result<()> {
    let (m, n) = x.shape();
    let (values, _) = scratch.slices(m * n, 0);
    x.read(values)?;
    format.round_all(values, seed, 0);
    x.write(values)
}

/// [`Fused::small_factor`] on the host: **waits** for a device.
///
/// # Errors
/// Shapes.
pub fn small_factor<M: Matrix>(
    out: &mut M,
    factor: SmallFactor,
    gram: &M,
    scratch: &mut Scratch<M::Element>,
) -> Result<Option<SmallInfo>> {
    check_same("small_factor", out, gram)?;
    let (k, cols) = gram.shape();
    if k != cols {
        return Err(Error::shape("small_factor", (k, k), (k, cols)));
    }
    gram.read(scratch.slices(k * k, 0).0)?;
    let info = scratch.factorize(factor, k);
    out.write(scratch.slices(k * k, 0).0)?;
    Ok(Some(info))
}
