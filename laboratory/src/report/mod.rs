//! The report: one page in HTML with everything in it, and the tables of docs/laboratory.md.

mod html;
mod markdown;
mod section;

pub use html::page;
pub use markdown::{fill, tables};
pub use section::{Figure, Section, Standing, Table};

use crate::{Results, all, file};
use spectra_examples::Failure;

/// The sections of every experiment, from its file of results in the folder of the workspace.
///
/// # Errors
/// Those of the files.
pub fn sections() -> Result<Vec<Section>, Failure> {
    all().iter().map(|experiment| experiment.report(&Results::read(&file(experiment.name()))?)).collect()
}
