//! The polar factor and the soft clip in every precision: what they cost, and how far rounding takes them from the exact values.

use crate::device::{Outcome, check_violations, simulator, stream};
use crate::ensure;
use crate::storage::{FORMATS, read};
use spectra_core::backend::Backend;
use spectra_core::linalg::{GramForm, Info, Normalization, Polar, Schedule, Steps, Workspace, uniform};
use spectra_core::maps::{AlphaBound, SoftClip, SoftClipMethod};
use spectra_cuda::{CudaBackend, Error, Precision, Tally};

/// Muon's five steps on an m x n matrix, the second time, when nothing is allocated any more.
fn muon(
    backend: &CudaBackend<f32>,
    polar: &Polar,
    (m, n): (usize, usize),
) -> Result<(Info, Tally), Box<dyn std::error::Error>> {
    let mut workspace = Workspace::new(backend.clone());
    let x = backend.upload(m, n, &(0..m * n).map(|i| uniform(1, i, 0) as f32).collect::<Vec<_>>())?;
    let mut out = backend.zeros(m, n, None)?;
    polar.apply(&x, &mut out, &mut workspace)?;
    check_violations()?;
    let before = backend.tally();
    let info = polar.apply(&x, &mut out, &mut workspace)?;
    let tally = backend.tally() - before;
    if let Some(device) = simulator().map(|simulator| simulator.counters()) {
        let counted =
            (device.launches + device.products, device.products, device.flops, device.allocations_total);
        let own = (tally.launches, tally.products, tally.flops, tally.allocations);
        ensure(
            counted == own && device.host_waits() == 0,
            format!("counted {tally:?}, the device {device:?}"),
        )?;
    }
    ensure(tally.allocations == 0 && tally.waits == 0, format!("{tally:?}"))?;
    Ok((info, tally))
}

/// Launches, products, flops and bytes of Muon's polar factor by shape and precision.
pub(crate) fn costs() -> Outcome {
    println!(
        "{:9} {:9} {:5} {:>8} {:>8} {:>10} {:>10}",
        "r x n", "precision", "form", "launches", "products", "flops/r^3", "bytes/rn"
    );
    for shape @ (m, n) in [(48, 48), (48, 168), (168, 48)] {
        for (precision, width) in
            [(Precision::F32, 4), (Precision::Tf32, 4), (Precision::Bf16, 2), (Precision::Fp16, 2)]
        {
            let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
            backend.set_least_block(8);
            let (r, n) = (m.min(n), m.max(n));
            // 21 of 36 blocks, where they are worth it.
            let blocked = precision != Precision::F32;
            let of_square = |x: usize| if blocked { x * 21 / 36 } else { x };
            for gram in [GramForm::Never, GramForm::Always] {
                let (info, tally) = muon(&backend, &Polar { gram, ..Polar::MUON }, shape)?;
                println!(
                    "{:9} {:9} {:5} {:>8} {:>8} {:>10.2} {:>10.2}",
                    format!("{r} x {n}"),
                    format!("{precision:?}"),
                    if gram == GramForm::Always { "Gram" } else { "plain" },
                    tally.launches,
                    tally.products,
                    tally.flops as f64 / r.pow(3) as f64,
                    tally.bytes as f64 / (r * n) as f64
                );
                ensure(tally.products == info.products as u64, format!("{info:?}, {tally:?}"))?;
                // Each segment forms X X^T and multiplies X; all else is r x r and symmetric.
                let segments = if gram == GramForm::Always { 3 } else { 5 };
                let long = 2 * r * r * n;
                let square = of_square(2 * r * r * r);
                let flops = segments * (of_square(long) + long) + (info.products - 2 * segments) * square;
                ensure(
                    tally.flops == flops as u64,
                    format!("{precision:?} {shape:?}: {} flops, not {flops}", tally.flops),
                )?;
                if gram == GramForm::Always {
                    continue;
                }
                // The largest entry, X / s, its norm, X / divisor; then in each step A = X X^T, B = c A^2 + b A, a X + B X in five launches,
                // and two more for either symmetric product by blocks.
                let launches = 4 + 5 * (5 + if blocked { 4 } else { 0 });
                ensure(
                    tally.launches == launches,
                    format!("{precision:?}: {} launches, not {launches}", tally.launches),
                )?;
                let (x, a) = (width * r * n, width * r * r);
                let symmetric = of_square(a) + if blocked { a } else { 0 };
                let step =
                    |out: usize| (x + symmetric) + (a + symmetric) + 3 * a + (x + out) + (a + x + 2 * out);
                // f32 at both ends.
                let bytes = 4 * 5 * r * n + x + 4 * step(x) + step(4 * r * n);
                ensure(
                    tally.bytes == bytes as u64,
                    format!("{precision:?} {shape:?}: {} bytes, not {bytes}", tally.bytes),
                )?;
            }
        }
    }
    check_violations()
}

/// Rows and columns.
const SHAPE: (usize, usize) = (48, 96);

/// An orthogonal n x n matrix: three reflections.
fn orthogonal(n: usize, seed: u64) -> Vec<f64> {
    let mut q: Vec<f64> = (0..n * n).map(|k| f64::from(u8::from(k % (n + 1) == 0))).collect();
    for round in 0..3 {
        let v: Vec<f64> = (0..n).map(|i| uniform(seed, i, round)).collect();
        let square: f64 = v.iter().map(|x| x * x).sum();
        for row in q.chunks_exact_mut(n) {
            let along = 2.0 * row.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() / square;
            row.iter_mut().zip(&v).for_each(|(x, v)| *x -= along * v);
        }
    }
    q
}

/// `U diag(sigma) V^T`.
fn with_values(sigma: &[f64]) -> Vec<f64> {
    let ((r, n), u, v) = (SHAPE, orthogonal(SHAPE.0, 1), orthogonal(SHAPE.1, 2));
    let entry = |i: usize, j: usize| (0..r).map(|k| u[i * r + k] * sigma[k] * v[j * n + k]).sum();
    (0..r * n).map(|k| entry(k / n, k % n)).collect()
}

type Polynomial = (f64, f64, f64);

fn apply(polynomials: &[Polynomial], x: f64) -> f64 {
    polynomials.iter().fold(x, |x, (a, b, c)| x * (a + x * x * (b + c * x * x)))
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The squared norm of what the steps make of a random change of a matrix with these singular values, whose entries in the singular
/// vectors' basis have the variances `variance(i, j)`: it becomes `D o E`, with the divided differences of p for the symmetric and the antisymmetric
/// part (Daleckii and Krein), and `p(x) / x` where V is completed.
fn spread(polynomials: &[Polynomial], values: &[f64], variance: impl Fn(usize, usize) -> f64) -> f64 {
    let (r, n) = SHAPE;
    let p: Vec<f64> = values.iter().map(|x| apply(polynomials, *x)).collect();
    let mut squares = 0.0;
    for i in 0..r {
        squares += (r..n).map(|j| variance(i, j)).sum::<f64>() * (p[i] / values[i]).powi(2);
        for j in 0..r {
            let sum = (p[i] + p[j]) / (values[i] + values[j]);
            let apart = values[i] - values[j];
            // Equal ones: the slope, by a small difference.
            let near = if apart.abs() > 1e-6 * values[i] { values[j] } else { values[i] * (1.0 - 1e-6) };
            let difference = (p[i] - apply(polynomials, near)) / (values[i] - near);
            squares += variance(i, j) * (sum * sum + difference * difference) / 2.0;
        }
    }
    squares
}

/// What rounding amounts to, if every stored matrix M gets a random error of the norm `u ||M||_F` that has no direction: X at the start,
/// and in each step `A = X X^T`, `c A^2`, `B = c A^2 + b A`, and but for the last one `a X` and `a X + B X`. Roundings to nearest are
/// at most u of each entry, and 0.4 u on average.
fn expected(polynomials: &[Polynomial], sigma: &[f64], u: f64) -> f64 {
    let (r, n) = SHAPE;
    let (entries, side) = ((r * n) as f64, (r * r) as f64);
    let mut x = sigma.to_vec();
    let norm_of = |x: &[f64], f: &dyn Fn(f64) -> f64| x.iter().map(|x| f(*x).powi(2)).sum::<f64>();
    let start = norm_of(&x, &|x| x) / entries;
    let mut squares = spread(polynomials, &x, |_, _| start);
    for (step, (a, b, c)) in polynomials.iter().enumerate() {
        let rest = &polynomials[step + 1..];
        let next: Vec<f64> = x.iter().map(|x| apply(&polynomials[step..=step], *x)).collect();
        let gram = norm_of(&x, &|x| x * x) / side;
        let parts = (norm_of(&x, &|x| c * x.powi(4)) + norm_of(&x, &|x| b * x * x + c * x.powi(4))) / side;
        let stored = (norm_of(&x, &|x| a * x) + norm_of(&next, &|x| x)) / entries;
        squares += spread(rest, &next, |i, j| {
            let through = x.get(j).map_or(0.0, |xj| {
                let slope = b + c * (x[i] * x[i] + xj * xj);
                xj * xj * (slope * slope * gram + parts)
            });
            through + if rest.is_empty() { 0.0 } else { stored }
        });
        x = next;
    }
    u * squares.sqrt()
}

/// In each format every form of every schedule is as near to the exact polynomial of the exact singular values as rounding its stored
/// matrices lets it, and much farther than in f32: nothing is summed in 16 bits, and nothing is kept in more.
pub(crate) fn errors() -> Outcome {
    let (r, n) = SHAPE;
    println!("relative Frobenius error to the exact polynomial / to the polar factor; allowed");
    let guarded = Schedule::Guarded { safety: 1.05, cushion: 0.02 };
    let frobenius = Normalization::Frobenius;
    for (name, lower, schedule, steps, normalization) in [
        ("Muon", 1e-2, Schedule::Muon, 5, frobenius),
        ("Polar Express", 1e-2, Schedule::POLAR_EXPRESS, 5, frobenius),
        ("guarded", 1e-1, guarded, 5, frobenius),
        ("guarded", 1e-2, guarded, 7, frobenius),
        ("Gram bound", 1e-1, guarded, 3, Normalization::Gram),
    ] {
        let sigma: Vec<f64> = (0..r).map(|k| f64::powf(lower, k as f64 / (r - 1) as f64)).collect();
        let divisor = match normalization {
            Normalization::Gram => 1.01 * sigma.iter().map(|x| x.powi(8)).sum::<f64>().powf(0.125),
            _ => norm(&sigma),
        };
        let start: Vec<f64> = sigma.iter().map(|x| x / divisor).collect();
        let (lower_end, steps_of) = (lower / divisor, Steps::Fixed(steps));
        let polar = Polar { schedule, steps: steps_of, lower: lower_end, normalization, ..Polar::EXACT };
        let polynomials: Vec<_> = schedule.polynomials(polar.lower, steps).map(|p| (p.a, p.b, p.c)).collect();
        let values: Vec<f64> = start.iter().map(|x| apply(&polynomials, *x)).collect();
        let (exact, factor) = (with_values(&values), with_values(&vec![1.0; r]));
        let x: Vec<f32> = with_values(&sigma).iter().map(|x| *x as f32).collect();
        for gram in [GramForm::Never, GramForm::Always] {
            let run = |precision: Precision| -> Result<(f64, f64), Error> {
                let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
                let mut out = backend.zeros(r, n, None)?;
                let polar = Polar { gram, ..polar };
                polar.apply(&backend.upload(r, n, &x)?, &mut out, &mut Workspace::new(backend.clone()))?;
                let found = read(&out)?;
                let distance = |to: &[f64]| {
                    let apart: Vec<f64> = found.iter().zip(to).map(|(x, y)| f64::from(*x) - y).collect();
                    norm(&apart) / norm(to)
                };
                Ok((distance(&exact), distance(&factor)))
            };
            let (in_full, _) = run(Precision::F32)?;
            for (precision, u) in FORMATS {
                let (error, to_factor) = run(precision)?;
                // Two steps on one Gram matrix take their second one from R' with the errors of R, T and W T, each next to twice as
                // large a sum.
                let times = if gram == GramForm::Always { 4.0 } else { 1.0 };
                let allowed = times * expected(&polynomials, &start, u) / norm(&values);
                let form = if gram == GramForm::Always { "Gram" } else { "plain" };
                println!(
                    "{name:14} {lower:.0e} {steps} {form:5} {precision:?}: {error:.1e} / {to_factor:.1e}; {allowed:.1e} (f32: {in_full:.1e})"
                );
                ensure(
                    error <= allowed,
                    format!("{name} {lower:e} {form} {precision:?}: {error:e}, allowed {allowed:e}"),
                )?;
                ensure(
                    error > 20.0 * in_full,
                    format!("{name} {lower:e} {form} {precision:?}: {error:e}, in f32 {in_full:e}"),
                )?;
            }
        }
    }
    check_violations()
}

/// The soft clip by a bound that the host reads, to the accuracy that it reports, and by a fixed number of steps, to what a rounding of
/// `A = (I + X X^T / c^2) / alpha` costs, whose least eigenvalue is `1 / alpha`: `eps alpha / 8`, and two roundings more.
pub(crate) fn soft_clip() -> Outcome {
    let (r, n) = SHAPE;
    for rho in [2.0, 10.0, 30.0] {
        let sigma: Vec<f64> = (0..r).map(|k| f64::powf(0.01, k as f64 / (r - 1) as f64)).collect();
        let c = 1.0 / rho;
        let exact =
            with_values(&sigma.iter().map(|s| s / (1.0 + (s / c).powi(2)).sqrt()).collect::<Vec<_>>());
        let x: Vec<f32> = with_values(&sigma).iter().map(|x| *x as f32).collect();
        let alpha = 1.0 + norm(&sigma.iter().map(|s| s * s).collect::<Vec<_>>()) / (c * c);
        let (steps, bound) = (8, AlphaBound::Frobenius);
        let fixed = SoftClipMethod::Fixed {
            schedule: Schedule::POLAR_EXPRESS,
            steps,
            lower: 1.0 / alpha.sqrt(),
            bound,
        };
        let run = |precision: Precision, method: SoftClipMethod| -> Result<(f64, Info), Error> {
            let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
            let mut out = backend.zeros(r, n, None)?;
            let clip = SoftClip { method, ..SoftClip::AUTO };
            let info =
                clip.apply(&backend.upload(r, n, &x)?, c, &mut out, &mut Workspace::new(backend.clone()))?;
            let apart: Vec<f64> = read(&out)?.iter().zip(&exact).map(|(x, y)| f64::from(*x) - y).collect();
            Ok((norm(&apart) / norm(&exact), info))
        };
        for (precision, u) in FORMATS {
            let auto = SoftClipMethod::Auto { tolerance: Some(16.0 * u) };
            let (error, info) = run(precision, auto)?;
            let accuracy = info.accuracy.ok_or("no accuracy is reported")?;
            println!(
                "rho {rho:4} {precision:?} Auto:  {error:.1e}, reported {accuracy:.1e}, {} products",
                info.products
            );
            ensure(error <= accuracy, format!("rho {rho} {precision:?}: {error:e}, reported {accuracy:e}"))?;
            let (error, _) = run(precision, fixed)?;
            let allowed = 2.0 * u * (2.0 + alpha / 8.0);
            println!(
                "rho {rho:4} {precision:?} Fixed: {error:.1e}, allowed {allowed:.1e} (f32: {:.1e})",
                run(Precision::F32, fixed)?.0
            );
            ensure(
                error <= allowed,
                format!("rho {rho} {precision:?}, fixed: {error:e}, allowed {allowed:e}"),
            )?;
        }
    }
    check_violations()
}
