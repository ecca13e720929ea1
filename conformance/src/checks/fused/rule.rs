//! What a step of an [`Entrywise`] rule gives, entry by entry.

use spectra_core::backend::{Backend, Entrywise, Fused, Result as CoreResult};

use super::Factor;
use crate::HostMatrix;
use crate::distance::scalar_distance;
use crate::suite::{Failure, Judge, Subject};
use crate::tolerance;

/// `beta`, `alpha`, the gradient's factor.
pub(crate) type Numbers = (f64, f64, f64);

/// An entry, and the sum of the absolute values that went into it.
#[derive(Clone, Copy)]
pub(super) struct Sized {
    pub(super) value: f64,
    pub(super) size: f64,
}

impl Sized {
    fn of(value: f64) -> Self {
        Self { value, size: value.abs() }
    }

    /// `a self + b other`; with an a of zero self is not read.
    fn combine(self, a: f64, b: f64, other: Self) -> Self {
        let kept = if a == 0.0 { Self::of(0.0) } else { self };
        Self { value: a * kept.value + b * other.value, size: a.abs() * kept.size + b.abs() * other.size }
    }

    fn over(self, denominator: f64) -> Self {
        Self { value: self.value / denominator, size: self.size / denominator }
    }

    /// -1, 0 or 1. Where rounding can turn the sign either will do; a sum of zeros is zero.
    fn sign(self, tolerance: f64) -> Self {
        let value = if self.value == 0.0 { 0.0 } else { self.value.signum() };
        let settled = self.value.abs() > tolerance * self.size || self.size == 0.0;
        Self { value, size: if settled { value.abs() } else { 2.0 / tolerance } }
    }
}

/// `X`, `M`, `V`, `S` after a step, those that the rule has first; the others as they were.
pub(super) fn advance(
    rule: Entrywise,
    (beta, alpha, factor): Numbers,
    old: [f64; 4],
    g: f64,
    tolerance: f64,
) -> [Sized; 4] {
    let [x, m, v, s] = old.map(Sized::of);
    let g = Sized::of(factor * g);
    let (direction, states) = match rule {
        Entrywise::Momentum { mu, weight, nesterov, sign } => {
            let m = m.combine(mu, weight, g);
            let ahead = if nesterov { m.combine(mu, weight, g) } else { m };
            (if sign { ahead.sign(tolerance) } else { ahead }, [m, v, s])
        }
        Entrywise::Lion { betas: (b1, b2) } => {
            let seen = m.combine(b1, 1.0 - b1, g);
            (seen.sign(tolerance), [m.combine(b2, 1.0 - b2, g), v, s])
        }
        Entrywise::Adam { betas: (b1, b2), eps, slow } => {
            let m = m.combine(b1, 1.0 - b1, g);
            let v = v.combine(b2, 1.0 - b2, Sized::of(g.value * g.value));
            let denominator = v.value.sqrt() + eps;
            let (numerator, s) = match slow {
                Some((b3, a)) => {
                    let s = s.combine(b3, 1.0 - b3, g);
                    (m.combine(1.0, a, s), s)
                }
                None => (m, s),
            };
            (numerator.over(denominator), [m, v, s])
        }
        Entrywise::Mars { .. } => unreachable!("it has a norm, and a check of its own"),
    };
    let [m, v, s] = states;
    [x.combine(beta, alpha, direction), m, v, s]
}

/// The factors of the old `X`, `M`, `V`, `S`; of those that the rule has.
pub(super) fn memories(rule: Entrywise, beta: f64) -> Vec<f64> {
    match rule {
        Entrywise::Momentum { mu, .. } => vec![beta, mu],
        // The sign and the new momentum both read the old one.
        Entrywise::Lion { betas: (b1, b2) } => vec![beta, b1.max(b2)],
        Entrywise::Adam { betas: (b1, b2), slow, .. } => {
            [beta, b1, b2].into_iter().chain(slow.map(|(b3, _)| b3)).collect()
        }
        Entrywise::Mars { betas: (b1, b2), weight, .. } => vec![beta, b1, b2, weight],
    }
}

/// The matrices of a step: `X`, `M`, `V`, `S` before it, and the gradient.
pub(super) struct Before {
    pub(super) matrices: [HostMatrix; 4],
    pub(super) gradient: HostMatrix,
}

impl Before {
    /// Old values beside this gradient.
    pub(super) fn with<B: Backend>(subject: &Subject<B>, gradient: HostMatrix) -> Self {
        let (rows, cols) = gradient.shape();
        let random = |label| subject.random(label, rows, cols);
        let [x, m, v, s] = ["weights", "first", "second", "slow"].map(random);
        let v = v.map(|entry| entry * entry).rounded(subject.precision());
        Self { matrices: [x, m, v, s], gradient }
    }

    /// The rule's matrices after a step. What the rule promises not to read is not readable.
    pub(super) fn step<B: Backend>(
        &self,
        subject: &Subject<B>,
        rule: Entrywise,
        (beta, alpha, factor): Numbers,
        call: Call<B>,
    ) -> Result<Vec<HostMatrix>, Failure> {
        let (rows, cols) = self.gradient.shape();
        let place = |(old, memory): (&HostMatrix, f64)| {
            if memory == 0.0 { subject.unreadable(rows, cols) } else { subject.upload(old) }
        };
        let olds = self.matrices.iter().zip(memories(rule, beta));
        let mut matrices = olds.map(place).collect::<Result<Vec<_>, _>>()?;
        let values = subject.upload(&self.gradient)?;
        let factor = Factor::new(subject, factor)?;
        call(subject, &mut matrices, (beta, alpha), rule, &values, &factor)?;
        matrices.iter().map(|matrix| subject.download(matrix)).collect()
    }

    /// The exact matrices after a step, NaN and infinities included; the first `count`.
    pub(super) fn exact(&self, rule: Entrywise, numbers: Numbers, count: usize) -> Vec<HostMatrix> {
        let (rows, cols) = self.gradient.shape();
        let mut after = vec![HostMatrix::zeros(rows, cols); count];
        for (index, g) in self.gradient.data.iter().enumerate() {
            let old = self.matrices.each_ref().map(|matrix| matrix.data[index]);
            for (matrix, exact) in after.iter_mut().zip(advance(rule, numbers, old, *g, 0.0)) {
                matrix.data[index] = exact.value;
            }
        }
        after
    }

    /// Holds matrices after a step against the exact ones, and against others by another tolerance where there are.
    pub(super) fn compare<B: Backend>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        (rule, numbers): (Entrywise, Numbers),
        what: &str,
        computed: &[HostMatrix],
        default: Option<&[HostMatrix]>,
    ) -> Result<(), Failure> {
        let tolerance = allowed(subject);
        let names = match rule {
            Entrywise::Momentum { .. } | Entrywise::Lion { .. } => ["weights", "momentum", "", ""],
            Entrywise::Adam { .. } => ["weights", "first moment", "second moment", "slow momentum"],
            Entrywise::Mars { .. } => ["weights", "first moment", "second moment", "last gradient"],
        };
        let shapes =
            computed.iter().chain(default.into_iter().flatten()).all(|x| x.shape() == self.gradient.shape());
        judge.require(shapes, format_args!("{what}: shapes"))?;
        let (mut errors, mut differences) = ([0.0f64; 4], [0.0f64; 4]);
        for (index, g) in self.gradient.data.iter().enumerate() {
            let old = self.matrices.each_ref().map(|matrix| matrix.data[index]);
            let exact = advance(rule, numbers, old, *g, tolerance);
            for (which, (computed, exact)) in computed.iter().zip(exact).enumerate() {
                let computed = computed.data[index];
                let error = scalar_distance(computed, exact.value, exact.size);
                errors[which] = errors[which].max(error);
                if let Some(default) = default {
                    let difference = scalar_distance(computed, default[which].data[index], exact.size);
                    differences[which] = differences[which].max(difference);
                }
            }
        }
        for which in 0..computed.len() {
            let what = format!("{what}: {}", names[which]);
            judge.compare(format_args!("{what}"), errors[which], tolerance)?;
            judge.compare(format_args!("{what}, as its default"), differences[which], 2.0 * tolerance)?;
        }
        Ok(())
    }
}

/// The longest chain, that of the weights with a slow part: three moments (4 each), share, sum, root, eps, quotient, alpha,
/// beta, sum; and as long as that, the coefficients of the moments and of the weights.
pub(super) fn allowed<B: Backend>(subject: &Subject<B>) -> f64 {
    tolerance::elementwise(subject.precision(), 20) + 2.0 * tolerance::coefficients(subject.precision())
}

/// A call of the operation: matrices, `beta` and `alpha`, rule, gradient, its factor.
pub(crate) type Call<B> = fn(
    &Subject<B>,
    &mut [<B as Backend>::Matrix],
    (f64, f64),
    Entrywise,
    &<B as Backend>::Matrix,
    &Factor<<B as Backend>::Scalar>,
) -> CoreResult<()>;

/// [`Backend::entrywise_add`].
pub(crate) fn entrywise<B: Backend>(
    subject: &Subject<B>,
    matrices: &mut [B::Matrix],
    weights: (f64, f64),
    rule: Entrywise,
    values: &B::Matrix,
    factor: &Factor<B::Scalar>,
) -> CoreResult<()> {
    let (gradient, workspace) = (&factor.gradient(values), &mut subject.workspace());
    match matrices {
        [x] => B::entrywise_add([x], weights, rule, gradient, workspace),
        [x, m] => B::entrywise_add([x, m], weights, rule, gradient, workspace),
        [x, m, v] => B::entrywise_add([x, m, v], weights, rule, gradient, workspace),
        [x, m, v, s] => B::entrywise_add([x, m, v, s], weights, rule, gradient, workspace),
        [x, m, v, s, more, ..] => B::entrywise_add([x, m, v, s, more], weights, rule, gradient, workspace),
        [] => B::entrywise_add([], weights, rule, gradient, workspace),
    }
}

/// [`Fused::adam_add`], whose gradient has no factor.
pub(super) fn adam<B: Backend>(
    _: &Subject<B>,
    matrices: &mut [B::Matrix],
    (beta, alpha): (f64, f64),
    rule: Entrywise,
    values: &B::Matrix,
    _: &Factor<B::Scalar>,
) -> CoreResult<()> {
    match (matrices, rule) {
        ([x, m, v], Entrywise::Adam { betas, eps, .. }) => {
            x.adam_add(beta.into(), alpha.into(), m, v, values, betas, eps)
        }
        _ => unreachable!("weights and two moments"),
    }
}
