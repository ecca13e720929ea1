//! Numbers a user may pass, with what is wrong with the others.

/// A whole number, at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("pass a whole number, at least 1".into()),
        Ok(number) => Ok(number),
    }
}

/// A finite number above zero.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0, "pass a finite number above 0")
}

/// A finite number, zero or above.
pub(crate) fn nonnegative(text: &str) -> Result<f64, String> {
    number(text, |x| x >= 0.0, "pass a finite number, 0 or above")
}

/// A share: above 0, at most 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "pass a number above 0, at most 1")
}

/// A decay: 0 or above, below 1.
pub(crate) fn below_one(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..1.0).contains(&x), "pass a number from 0 to below 1")
}

/// A number from 0 to 1.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..=1.0).contains(&x), "pass a number from 0 to 1")
}

fn number(text: &str, accepted: impl Fn(f64) -> bool, otherwise: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && accepted(*x)).ok_or_else(|| otherwise.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_numbers_pass() {
        assert_eq!(count("3"), Ok(3));
        assert_eq!(positive("1e-3"), Ok(1e-3));
        assert_eq!(nonnegative("0"), Ok(0.0));
        assert_eq!(fraction("1"), Ok(1.0));
        for text in ["0", "-1", "1.5", "", "x"] {
            assert!(count(text).is_err(), "{text}");
        }
        for text in ["0", "-1", "nan", "inf", "", "x"] {
            assert!(positive(text).is_err(), "{text}");
        }
    }
}
