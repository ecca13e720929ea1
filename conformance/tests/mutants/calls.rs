//! Defects that depend on what was called before, or at the same time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use spectra_core::backend::{Element, Fused, Matrix};
use spectra_core::dense::DenseMatrix;

use crate::bug::bug;

/// Whether this is one of every so many calls.
fn is_due(calls: &AtomicUsize, period: usize) -> bool {
    calls.fetch_add(1, Ordering::Relaxed) % period == period - 1
}

/// The last entry, a little larger.
fn nudge<E: Element>(out: &mut DenseMatrix<E>) {
    if let Some(last) = out.values_mut().last_mut() {
        *last = *last + *last * E::epsilon() + E::min_positive_value();
    }
}

macro_rules! restless {
    ($name:ident, $operation:ident, $out:ident $(, $operand:ident)*) => {
        bug!($name<PERIOD>, "a result that is another on the n-th call", $operation, |$out, beta, alpha $(, $operand)*| {
            static CALLS: AtomicUsize = AtomicUsize::new(0);
            $out.$operation(beta, alpha $(, $operand)*)?;
            if is_due(&CALLS, PERIOD) {
                nudge($out);
            }
            Ok(())
        });
    };
}

restless!(RestlessScale, scale_add, out, x);
restless!(RestlessProduct, product_add, out, x, y);
restless!(RestlessGemm, gemm, out, a, op_a, b, op_b);
restless!(RestlessSymmetric, gemm_symmetric, out, a, op_a, b, op_b);
restless!(RestlessLowRank, low_rank_add, out, x, left, right);

bug!(RestlessDot<PERIOD>, "a sum that is another on the n-th call", dot, |x, y| {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let sum = x.dot(y)?;
    Ok(if is_due(&CALLS, PERIOD) { sum * (1.0 + f64::from(f32::EPSILON)) } else { sum })
});

bug!(RestlessMaximum<PERIOD>, "a maximum that is another on the n-th call", max_abs, |x| {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let largest = x.max_abs()?;
    Ok(if is_due(&CALLS, PERIOD) { largest / 2.0 } else { largest })
});

bug!(
    RestlessSweep<PERIOD>,
    "a Gram matrix that is another on the n-th call",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let norm = m.power_sweep(update, alpha, v, p, gram, z)?;
        if is_due(&CALLS, PERIOD) {
            nudge(gram);
        }
        Ok(norm)
    }
);

bug!(
    RestlessFactor<PERIOD>,
    "a factor that is another on the n-th call",
    small_factor,
    |out, factor, gram, scratch| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let info = out.small_factor(factor, gram, scratch)?;
        if is_due(&CALLS, PERIOD) {
            nudge(out);
        }
        Ok(info)
    }
);

bug!(
    RestlessStep<PERIOD>,
    "a state that is another on the n-th call",
    entrywise,
    |matrices, weights, rule, gradient| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let result = crate::broken::sound_step(matrices, weights, rule, gradient);
        if let (true, Some(state)) = (is_due(&CALLS, PERIOD), matrices.get_mut(1)) {
            nudge(state);
        }
        Some(result)
    }
);

/// The last alpha of the first calls on each output, by its place in memory.
type Recorded = Mutex<BTreeMap<usize, (usize, f64)>>;

/// alpha of the n-th call on an output in this place, from then on: a recorded launch.
fn recorded(places: &Recorded, place: usize, after: usize, alpha: f64) -> f64 {
    let mut places = places.lock().unwrap();
    let (calls, kept) = places.entry(place).or_insert((0, alpha));
    *calls += 1;
    if *calls <= after {
        *kept = alpha;
    }
    *kept
}

macro_rules! first_coefficient {
    ($name:ident, $operation:ident, $out:ident $(, $operand:ident)*) => {
        bug!($name<AFTER>, "the coefficient of an earlier call in the same memory", $operation, |$out, beta, alpha $(, $operand)*| {
            static PLACES: Recorded = Mutex::new(BTreeMap::new());
            let alpha = recorded(&PLACES, $out.values().as_ptr().addr(), AFTER, alpha.value());
            $out.$operation(beta, alpha.into() $(, $operand)*)
        });
    };
}

first_coefficient!(RecordedScale, scale_add, out, x);
first_coefficient!(RecordedGemm, gemm, out, a, op_a, b, op_b);
first_coefficient!(RecordedLowRank, low_rank_add, out, x, left, right);

bug!(
    PackedOnce,
    "a second factor that is packed once for each place",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        type Packed = (usize, (usize, usize), Vec<f64>);
        static PACKED: Mutex<Vec<Packed>> = Mutex::new(Vec::new());
        let (place, shape) = (b.values().as_ptr().addr(), b.shape());
        let mut packed = PACKED.lock().unwrap();
        let found = packed.iter().position(|(kept, of, _)| (*kept, *of) == (place, shape));
        let index = found.unwrap_or_else(|| {
            packed.push((place, shape, b.values().iter().map(|x| x.widen()).collect()));
            packed.len() - 1
        });
        let values = packed[index].2.iter().map(|x| E::narrow(*x)).collect();
        out.gemm(beta, alpha, a, op_a, &DenseMatrix::from_vec(shape.0, shape.1, values)?, op_b)
    }
);

macro_rules! shared_alpha {
    ($name:ident, $operation:ident, $out:ident $(, $operand:ident)*) => {
        bug!($name, "an alpha in memory that all handles share", $operation, |$out, beta, alpha $(, $operand)*| {
            static ALPHA: AtomicU64 = AtomicU64::new(0);
            ALPHA.store(alpha.value().to_bits(), Ordering::SeqCst);
            std::thread::yield_now();
            let alpha = f64::from_bits(ALPHA.load(Ordering::SeqCst));
            $out.$operation(beta, alpha.into() $(, $operand)*)
        });
    };
}

shared_alpha!(SharedAlpha, scale_add, out, x);
shared_alpha!(SharedAlphaOfGemm, gemm, out, a, op_a, b, op_b);

bug!(SharedPartials, "partial sums in memory that all handles share", dot, |x, y| {
    static PARTIAL: AtomicU64 = AtomicU64::new(0);
    PARTIAL.store(0f64.to_bits(), Ordering::SeqCst);
    std::thread::yield_now();
    x.dot(y)?;
    for (x, y) in x.values().iter().zip(y.values()) {
        let sum = f64::from_bits(PARTIAL.load(Ordering::SeqCst));
        PARTIAL.store((sum + x.widen() * y.widen()).to_bits(), Ordering::SeqCst);
    }
    Ok(f64::from_bits(PARTIAL.load(Ordering::SeqCst)))
});

bug!(
    SharedTemporary,
    "a temporary in memory that all handles share",
    low_rank_add,
    |out, beta, alpha, x, left, right| {
        static KEPT: Mutex<Vec<f64>> = Mutex::new(Vec::new());
        *KEPT.lock().unwrap() = left.values().iter().map(|x| x.widen()).collect();
        std::thread::yield_now();
        let (m, k) = left.shape();
        let values: Vec<E> = KEPT.lock().unwrap().iter().map(|x| E::narrow(*x)).collect();
        let mut factor = DenseMatrix::from_fn(m, k, |_, _| E::zero());
        factor.values_mut().iter_mut().zip(values).for_each(|(entry, value)| *entry = value);
        out.low_rank_add(beta, alpha, x, &factor, right)
    }
);
