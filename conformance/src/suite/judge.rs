//! Compares, and remembers the worst.

use core::fmt;

use super::point::fraction;
use super::{Failure, Outcome, Point};
use crate::inputs::Input;

/// How exact a backend proved in one check.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The comparison that came closest to its tolerance.
    pub worst: String,
    /// Its error.
    pub error: f64,
    /// Its tolerance.
    pub tolerance: f64,
    /// How many comparisons were made.
    pub comparisons: usize,
    /// The worst comparison on each input or shape. Rules and exact comparisons, whose tolerance is 0, leave no point.
    pub points: Vec<Point>,
}

impl Measured {
    /// The error as a fraction of its tolerance: 0 for exact, 1 for just passed.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        fraction(self.error, self.tolerance)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1}% of the tolerance ({:.2e} of {:.2e}) over {} comparisons, worst: {}",
            100.0 * self.fraction(),
            self.error,
            self.tolerance,
            self.comparisons,
            self.worst
        )
    }
}

/// Collects the comparisons of one check; the first failure ends it.
#[derive(Debug, Default)]
pub struct Judge {
    worst: Option<Measured>,
    comparisons: usize,
    points: Vec<Point>,
    place: Option<Place>,
}

/// What is being compared on.
#[derive(Clone, Copy, Debug)]
struct Place {
    shape: (usize, usize),
    input: Option<&'static Input>,
    /// Its place among the points, once it has one.
    point: Option<usize>,
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The comparisons that follow are made on this input.
    pub fn on(&mut self, input: &'static Input) {
        self.enter(input.matrix.shape(), Some(input));
    }

    /// The comparisons that follow are made on a matrix of the check's own.
    pub fn at(&mut self, rows: usize, cols: usize) {
        self.enter((rows, cols), None);
    }

    fn enter(&mut self, shape: (usize, usize), input: Option<&'static Input>) {
        let same = |point: &Point| match (point.input, input) {
            (Some(a), Some(b)) => core::ptr::eq(a, b),
            (None, None) => point.shape == shape,
            _ => false,
        };
        self.place = Some(Place { shape, input, point: self.points.iter().position(same) });
    }

    /// Requires `error <= tolerance`.
    ///
    /// # Errors
    /// [`Failure::Inexact`] otherwise; also when the error is NaN.
    pub fn compare(&mut self, what: fmt::Arguments<'_>, error: f64, tolerance: f64) -> Result<(), Failure> {
        self.record(error, tolerance);
        if error.is_nan() || error > tolerance {
            let points = core::mem::take(&mut self.points);
            return Err(Failure::Inexact { what: what.to_string(), error, tolerance, points });
        }
        self.comparisons += 1;
        if self.worst.as_ref().is_none_or(|worst| fraction(error, tolerance) > worst.fraction()) {
            let worst = what.to_string();
            self.worst = Some(Measured { worst, error, tolerance, comparisons: 0, points: Vec::new() });
        }
        Ok(())
    }

    /// Keeps the error if it is the worst of its place.
    fn record(&mut self, error: f64, tolerance: f64) {
        let Some(place) = self.place.as_mut().filter(|_| tolerance > 0.0) else { return };
        let new = Point { shape: place.shape, input: place.input, error, tolerance };
        match place.point.and_then(|index| self.points.get_mut(index)) {
            Some(point) if error.is_nan() || new.fraction() > point.fraction() => *point = new,
            Some(_) => {}
            None => {
                place.point = Some(self.points.len());
                self.points.push(new);
            }
        }
    }

    /// Requires that a rule holds.
    ///
    /// # Errors
    /// [`Failure::Rule`] otherwise.
    pub fn require(&mut self, holds: bool, rule: fmt::Arguments<'_>) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::Rule { what: rule.to_string() });
        }
        self.compare(rule, 0.0, 0.0)
    }

    /// The check's answer.
    ///
    /// # Errors
    /// [`Failure::Suite`] if nothing was compared: that proves nothing.
    pub fn finish(self) -> Outcome {
        match self.worst {
            Some(worst) => Ok(Measured { comparisons: self.comparisons, points: self.points, ..worst }),
            None => Err(Failure::Suite { reason: "the check compared nothing".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Judge};
    use crate::Precision;
    use crate::inputs::standard;

    #[test]
    fn the_worst_fraction_is_kept() {
        let mut judge = Judge::new();
        judge.compare(format_args!("a"), 1e-9, 1e-3).unwrap();
        judge.compare(format_args!("b"), 1e-12, 2e-12).unwrap();
        judge.compare(format_args!("c"), 1e-4, 1e-3).unwrap();
        judge.require(true, format_args!("d")).unwrap();
        let measured = judge.finish().unwrap();
        assert_eq!((measured.worst.as_str(), measured.comparisons), ("b", 4));
        assert!((measured.fraction() - 0.5).abs() < 1e-15);
    }

    #[test]
    fn every_place_keeps_its_worst() {
        let [first, second, ..] = standard(Precision::F64) else { panic!("two inputs at least") };
        let mut judge = Judge::new();
        judge.compare(format_args!("nowhere"), 1e-4, 1e-3).unwrap();
        judge.on(first);
        judge.compare(format_args!("a"), 1e-4, 1e-3).unwrap();
        judge.on(second);
        judge.compare(format_args!("b"), 2e-4, 1e-3).unwrap();
        judge.require(true, format_args!("a rule")).unwrap();
        judge.at(3, 4);
        judge.compare(format_args!("c"), 3e-4, 1e-3).unwrap();
        judge.on(first);
        judge.compare(format_args!("d"), 5e-4, 1e-3).unwrap();
        judge.compare(format_args!("e"), 1e-5, 1e-3).unwrap();
        let points = judge.finish().unwrap().points;
        assert_eq!(points.iter().map(|point| point.error).collect::<Vec<_>>(), [5e-4, 2e-4, 3e-4]);
        assert_eq!(points[0].input.map(|input| &input.name), Some(&first.name));
        assert_eq!(points[0].condition(), first.condition().ok().map(|condition| condition.number()));
        assert_eq!((points[2].shape, points[2].condition()), ((3, 4), None));
    }

    #[test]
    fn a_failure_has_the_points_up_to_itself() {
        let input = &standard(Precision::F64)[0];
        for error in [2.0, f64::NAN] {
            let mut judge = Judge::new();
            judge.on(input);
            judge.compare(format_args!("a"), 0.5, 1.0).unwrap();
            let Err(Failure::Inexact { points, .. }) = judge.compare(format_args!("b"), error, 1.0) else {
                panic!("{error} is within 1");
            };
            assert_eq!(points.len(), 1);
            assert_eq!(points[0].error.to_bits(), error.to_bits());
        }
    }

    #[test]
    fn too_much_nan_and_nothing_fail() {
        let mut judge = Judge::new();
        for error in [1.1, f64::INFINITY, f64::NAN] {
            assert!(matches!(judge.compare(format_args!("x"), error, 1.0), Err(Failure::Inexact { .. })));
        }
        assert!(matches!(judge.compare(format_args!("x"), 0.0, f64::NAN), Ok(())));
        assert!(matches!(judge.require(false, format_args!("x")), Err(Failure::Rule { .. })));
        assert!(matches!(Judge::new().finish(), Err(Failure::Suite { .. })));
    }
}
