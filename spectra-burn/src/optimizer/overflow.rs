//! Weights of 16 bits that a finite update takes out of their type's range.

use super::Spectral;
use super::turn::Prepared;
use spectra_core::backend::{Error, ErrorKind};

/// The error that tells of them.
pub(super) fn overflow() -> Error {
    let what = "parameter, whose type a finite update has no room in,";
    Error::new("step", ErrorKind::NonFinite { what })
}

impl Spectral {
    /// Tells of weights of which their step has made an infinity: a step of the whole model at its end, burn's own type by a
    /// panic. What was infinite before has been told of.
    pub(super) fn tell_overflow(&self, prepared: &Prepared) {
        if prepared.model_step.is_none() {
            return self.refuse(overflow(), prepared);
        }
        let name = self.name().unwrap_or_default().into();
        self.shared().with_outcome(|outcome| outcome.overflowed.push(name));
    }
}
