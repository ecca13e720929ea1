//! Reductions of [large matrices](LARGE) and of rows of every short length.

use spectra_core::backend::{Backend, Element, Matrix, Scalar};

use crate::HostMatrix;
use crate::distance::scalar_distance;
use crate::inputs::{LARGE, every_short_row};
use crate::oracle::dot as exact_dot;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// Sums of small whole numbers, which every precision and order adds exactly, and of positive terms.
///
/// Finds: a single entry left out or counted twice, in a last block, vector or thread or beyond what a launch holds; a lower
/// precision from some size on.
pub fn dot_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in LARGE.into_iter().chain(every_short_row()) {
        judge.at(rows, cols);
        // At most 6 each, over a million: below 2^24.
        let whole =
            |period: usize| HostMatrix::from_fn(rows, cols, |i, j| (1 + (i * cols + j) % period) as f64);
        let (x, y) = (whole(3), whole(2));
        let exact: f64 = x.data.iter().zip(&y.data).map(|(x, y)| x * y).sum();
        let computed = subject.upload(&x)?.dot(&subject.upload(&y)?)?.read()?;
        let what = format_args!("dot of whole numbers, {rows} x {cols}, is {exact}, not {computed}");
        judge.require(computed == exact, what)?;
    }
    for (rows, cols) in LARGE {
        judge.at(rows, cols);
        let positive = subject.random("positive terms", rows, cols).map(f64::abs);
        let exact = exact_dot(positive.data.iter().map(|&entry| (entry, entry)));
        let x = subject.upload(&positive)?;
        let error = scalar_distance(x.dot(&x)?.read()?, exact, exact);
        let allowed = tolerance::reduction(subject.precision(), rows * cols);
        judge.compare(format_args!("dot of positive terms, {rows} x {cols}"), error, allowed)?;
    }
    judge.finish()
}

/// The largest entry, or a NaN, in places where blocks begin and end.
///
/// Finds: entries left out as [`dot_large`] does; a NaN lost when partial maxima are combined.
pub fn max_abs_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in LARGE {
        judge.at(rows, cols);
        places_of(&mut judge, subject, (rows, cols), &places(rows * cols))?;
    }
    for (rows, cols) in every_short_row() {
        let all: Vec<usize> = (0..cols).collect();
        places_of(&mut judge, subject, (rows, cols), &all)?;
    }
    judge.finish()
}

/// Both ends, the middle, both sides of some powers of two from either end, and a few more.
fn places(entries: usize) -> Vec<usize> {
    let mut places = vec![0, entries - 1, entries / 2, entries / 3, entries - entries / 7];
    for power in [5, 8, 10, 12, 16, 18, 19] {
        let place = 1 << power;
        places.extend([place - 1, place, entries.saturating_sub(place), entries.saturating_sub(place + 1)]);
    }
    places.retain(|place| *place < entries);
    places
}

fn places_of<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (rows, cols): (usize, usize),
    places: &[usize],
) -> Result<(), Failure> {
    let half = B::Element::narrow(0.5);
    let mut values = vec![half; rows * cols];
    let mut matrix = subject.backend().zeros(rows, cols, None)?;
    for (index, &place) in places.iter().enumerate() {
        // Of both signs in turn.
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        for value in [8.0 * sign, f64::NAN.copysign(sign)] {
            values[place] = B::Element::narrow(value);
            matrix.write(&values)?;
            let computed = matrix.max_abs()?.read()?;
            let holds = if value.is_nan() { computed.is_nan() } else { computed == 8.0 };
            let what = format_args!("max_abs of {rows} x {cols} with {value} at entry {place} is {computed}");
            judge.require(holds, what)?;
        }
        values[place] = half;
    }
    Ok(())
}
