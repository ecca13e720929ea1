//! Rounding to 16 bits at random.

use spectra_core::backend::{Backend, Element, Fused};
use spectra_core::linalg::{Scratch, SixteenBits};

use crate::HostMatrix;
use crate::distance::same_bits;
use crate::suite::{Judge, Outcome, Subject};

/// `round_stochastic` gives the bits that its stream of draws defines, entry `(i, j)` by draw `i n + j`; numbers beyond the 16-bit type,
/// infinities and NaN stay.
///
/// Finds: rounding to nearest, draws that depend on threads, on the layout or on earlier calls, a seed that does not matter, exponents
/// of the other type, a lost sign.
pub fn round_stochastic<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in [(1, 1), (3, 2), (7, 65), (300, 257), (0, 3)] {
        // From f16's smallest numbers to beyond its largest, all normal in f32.
        let mut matrix = subject.random("rounded", rows, cols);
        let size = |at: usize| [1.0, 1e-7, 3e4, 1e5, 1e-30][at % 5];
        matrix.data.iter_mut().enumerate().for_each(|(at, x)| *x *= size(at));
        for (x, special) in
            matrix.data.iter_mut().skip(40).zip([f64::NAN, f64::INFINITY, -f64::INFINITY, -0.0, 65504.0])
        {
            *x = special;
        }
        for (format, seed) in
            [(SixteenBits::Bf16, 1), (SixteenBits::Bf16, u64::MAX), (SixteenBits::F16, 0x1234_5678_9abc_def0)]
        {
            let mut values: Vec<_> = matrix.data.iter().map(|x| B::Element::narrow(*x)).collect();
            format.round_all(&mut values, seed, 0);
            let exact = HostMatrix::from_data(rows, cols, values.iter().map(|x| x.widen()).collect());
            let mut rounded = subject.upload(&matrix)?;
            rounded.round_stochastic(format, seed, &mut Scratch::new())?;
            judge.require(
                same_bits(&subject.download(&rounded)?, &exact),
                format_args!("bits of {rows} x {cols} in {format:?}"),
            )?;
        }
    }
    judge.finish()
}
