//! A check's outcome in one word.

use crate::suite::{Entry, Status};

/// What a cell of a table says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Share {
    /// The worst error as a share of its tolerance; 0 is exact.
    Passed(f64),
    Failed,
    Skipped,
}

impl Share {
    pub(super) fn of(entry: &Entry) -> Self {
        match &entry.status {
            Status::Passed(measured) => Self::Passed(measured.fraction()),
            Status::Failed(_) => Self::Failed,
            Status::Skipped => Self::Skipped,
        }
    }

    /// The worst of several: a failure, else the largest share of those that were run.
    pub(super) fn worst(entries: &[Entry]) -> Self {
        entries.iter().map(Self::of).fold(Self::Skipped, |worst, next| match (worst, next) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Passed(a), Self::Passed(b)) => Self::Passed(a.max(b)),
            (Self::Skipped, other) | (other, Self::Skipped) => other,
        })
    }

    /// `exact`, `<0.1 %`, `3.4 %`, `57 %`, `FAILED`, `skipped`.
    pub(super) fn text(self) -> String {
        match self {
            Self::Passed(0.0) => "exact".to_owned(),
            Self::Passed(share) if share < 0.001 => "<0.1 %".to_owned(),
            Self::Passed(share) if share < 0.1 => format!("{:.1} %", 100.0 * share),
            Self::Passed(share) => format!("{:.0} %", 100.0 * share),
            Self::Failed => "FAILED".to_owned(),
            Self::Skipped => "skipped".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Share;
    use crate::suite::{Entry, Failure, Measured, Status};

    fn entry(status: Status) -> Entry {
        Entry { group: "group", name: "name", status }
    }

    fn passed(error: f64) -> Entry {
        let measured =
            Measured { worst: String::new(), error, tolerance: 1.0, comparisons: 1, points: Vec::new() };
        entry(Status::Passed(measured))
    }

    fn failed() -> Entry {
        entry(Status::Failed(Failure::Rule { what: String::new() }))
    }

    #[test]
    fn the_worst_is_a_failure_else_the_largest() {
        let skipped = || entry(Status::Skipped);
        assert_eq!(Share::worst(&[skipped(), passed(0.25), passed(0.5), skipped()]), Share::Passed(0.5));
        assert_eq!(Share::worst(&[passed(0.25), failed(), passed(0.5)]), Share::Failed);
        assert_eq!(Share::worst(&[skipped()]), Share::Skipped);
    }

    #[test]
    fn two_digits_are_enough() {
        let text = |error| Share::of(&passed(error)).text();
        let texts = [0.0, 1e-5, 0.001, 0.034, 0.1, 0.567, 1.0].map(text);
        assert_eq!(texts, ["exact", "<0.1 %", "0.1 %", "3.4 %", "10 %", "57 %", "100 %"]);
        assert_eq!(Share::of(&failed()).text(), "FAILED");
    }
}
