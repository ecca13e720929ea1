//! The report: one page in HTML with everything in it, and the tables of docs/laboratory.md.

mod claims;
mod html;
mod markdown;
mod section;

pub use html::page;
pub use markdown::{fill, tables};
pub use section::{Figure, Section, Standing, Table};

use std::path::Path;

use crate::{Results, all, file};
use spectra_examples::Failure;

/// The claims, and the sections of every experiment, from its file of results in the folder of the workspace.
///
/// # Errors
/// Those of the files.
pub fn sections() -> Result<Vec<Section>, Failure> {
    let mut sections = Vec::new();
    for experiment in all() {
        sections.push(experiment.report(&Results::read(&file(experiment.name()))?)?);
    }
    sections.insert(0, claims::section(Path::new("laboratory/results"), &sections)?);
    Ok(sections)
}
