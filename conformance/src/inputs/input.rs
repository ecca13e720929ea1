//! One input.

use std::sync::OnceLock;

use crate::oracle::{OracleError, Svd};
use crate::{HostMatrix, Precision};

/// What kind of difficulty an input poses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A few dominant singular values over a flat tail: a gradient of language-model training.
    Spiked,
    /// Independent normal entries: no gap anywhere.
    Flat,
    /// Singular values in tight groups.
    Clustered,
    /// Singular values from 1 down to 1e-12, equal ratios.
    Graded,
    /// The Hilbert matrix: positive definite and almost singular.
    Hilbert,
    /// Exact rank below the extents.
    RankDeficient,
    /// Singular values that are equal in groups.
    Repeated,
    /// All entries zero.
    Zero,
    /// One entry that is not zero.
    SingleEntry,
    /// All entries at one extreme magnitude, or at two.
    Extreme,
    /// Entries below the smallest normal number.
    Denormal,
    /// One entry that is NaN or infinite.
    NonFinite,
}

/// Condition figures of a finite input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// The largest singular value.
    pub sigma_max: f64,
    /// The smallest singular value that counts towards the rank; 0 if the rank is 0.
    pub sigma_min: f64,
    /// The numerical rank.
    pub rank: usize,
}

impl Condition {
    /// `sigma_max / sigma_min`; 1 for a zero matrix.
    #[must_use]
    pub fn number(&self) -> f64 {
        if self.rank == 0 { 1.0 } else { self.sigma_max / self.sigma_min }
    }
}

/// A named matrix for the checks to run on.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it is and how large, for messages: `spiked 64 x 33`.
    pub name: String,
    /// What kind of difficulty it poses.
    pub family: Family,
    /// The entries.
    pub matrix: HostMatrix,
    /// The factors it was made from, where it was made from factors; the entries are their rounded product.
    pub planted: Option<Svd>,
    svd: OnceLock<Result<Svd, OracleError>>,
}

impl Input {
    /// The input `label` with its shape appended to the name.
    #[must_use]
    pub fn new(label: &str, family: Family, matrix: HostMatrix) -> Self {
        let name = format!("{label} {} x {}", matrix.rows, matrix.cols);
        Self { name, family, matrix, planted: None, svd: OnceLock::new() }
    }

    /// The input made from factors.
    #[must_use]
    pub fn from_factors(label: &str, family: Family, factors: Svd) -> Self {
        let matrix = factors.with_values(&factors.sigma);
        Self { planted: Some(factors), ..Self::new(label, family, matrix) }
    }

    /// The same input with its entries rounded to `precision`.
    #[must_use]
    pub fn rounded(self, precision: Precision) -> Self {
        Self { matrix: self.matrix.rounded(precision), svd: OnceLock::new(), ..self }
    }

    /// The exact decomposition, computed on first use.
    ///
    /// # Errors
    /// The oracle's, if the matrix is not finite.
    pub fn svd(&self) -> Result<&Svd, &OracleError> {
        self.svd.get_or_init(|| Svd::of(&self.matrix)).as_ref()
    }

    /// The condition figures.
    ///
    /// # Errors
    /// As [`Self::svd`].
    pub fn condition(&self) -> Result<Condition, &OracleError> {
        let svd = self.svd()?;
        let rank = svd.rank();
        Ok(Condition {
            sigma_max: svd.sigma.first().copied().unwrap_or(0.0),
            sigma_min: if rank == 0 { 0.0 } else { svd.sigma[rank - 1] },
            rank,
        })
    }
}
