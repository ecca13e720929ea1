//! How exactly a case can be reproduced in double precision; `golden/README.md` gives the reasons.

use super::{Golden, GoldenError};

/// Arrays with a tolerance of their own: prefix of the case, prefix of the output, tolerance.
const OF_ARRAYS: [(&str, &str, f64); 4] = [
    ("soft_clip_", "official_ns10_f64_", 1e-9),
    ("soft_clip_", "official_ns10_f32_", 1e-4),
    ("frank_wolfe_", "X_star", 1e-7),
    ("frank_wolfe_", "F_star", 1e-10),
];

impl Golden {
    /// The case's tolerance for the largest absolute difference over the largest absolute golden value.
    ///
    /// # Errors
    /// [`GoldenError`] if the case states none.
    pub fn tolerance(&self) -> Result<f64, GoldenError> {
        self.hyper_number("recommended_rtol_vs_max_abs")
    }

    /// The tolerance of one output: the case's, unless the array has its own.
    ///
    /// # Errors
    /// [`GoldenError`] if there is no such output, or the case states no tolerance.
    pub fn tolerance_of(&self, output: &str) -> Result<f64, GoldenError> {
        self.outputs().array(output)?;
        let own = OF_ARRAYS
            .iter()
            .find(|(case, array, _)| self.name.starts_with(case) && output.starts_with(array))
            .map(|(_, _, tolerance)| *tolerance);
        own.map_or_else(|| self.tolerance(), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::Golden;

    #[test]
    fn arrays_may_have_their_own_tolerance() {
        let clip = Golden::load("soft_clip_tall").unwrap();
        assert_eq!(clip.tolerance_of("exact_c1").unwrap(), 1e-10);
        assert_eq!(clip.tolerance_of("official_ns10_f64_c1").unwrap(), 1e-9);
        assert_eq!(clip.tolerance_of("official_ns10_f32_c1").unwrap(), 1e-4);
        assert!(clip.tolerance_of("exact_c3").is_err());
        let frank_wolfe = Golden::load("frank_wolfe_pure_nuclear").unwrap();
        assert_eq!(frank_wolfe.tolerance_of("X_star").unwrap(), 1e-7);
        assert_eq!(frank_wolfe.tolerance_of("objective").unwrap(), 1e-6);
    }
}
