//! Compares, and remembers the worst.

use core::fmt;

use super::{Failure, Outcome};

/// How exact a backend proved in one check.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The comparison that came closest to its tolerance.
    pub worst: String,
    /// Its error.
    pub error: f64,
    /// Its tolerance.
    pub tolerance: f64,
    /// How many comparisons were made.
    pub comparisons: usize,
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
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires `error <= tolerance`.
    ///
    /// # Errors
    /// [`Failure::Inexact`] otherwise; also when the error is NaN.
    pub fn compare(&mut self, what: fmt::Arguments<'_>, error: f64, tolerance: f64) -> Result<(), Failure> {
        if error.is_nan() || error > tolerance {
            return Err(Failure::Inexact { what: what.to_string(), error, tolerance });
        }
        self.comparisons += 1;
        if self.worst.as_ref().is_none_or(|worst| fraction(error, tolerance) > worst.fraction()) {
            self.worst = Some(Measured { worst: what.to_string(), error, tolerance, comparisons: 0 });
        }
        Ok(())
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
            Some(worst) => Ok(Measured { comparisons: self.comparisons, ..worst }),
            None => Err(Failure::Suite { reason: "the check compared nothing".to_owned() }),
        }
    }
}

fn fraction(error: f64, tolerance: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / tolerance }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Judge};

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
