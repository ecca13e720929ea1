//! A file of measurements, one line each, and its picture.

use std::fs;
use std::path::Path;

use spectra_examples::pictures::{Panel, curves};
use spectra_examples::{Failure, write_whole};

use super::Cost;
use crate::machine;

const TITLES: &str = "commit,date,machine,threads,model,element,preset,milliseconds,state_bytes,peak_bytes\n";

/// Adds a line for each cost, with the commit of the source and its date.
pub(super) fn append(file: &Path, model: &str, element: &str, costs: &[Cost]) -> Result<(), Failure> {
    let mut text = match fs::read_to_string(file) {
        Ok(text) if text.starts_with(TITLES) => text,
        Ok(_) => return Err(Failure::input(format!("{} is no history of step_cost", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => TITLES.into(),
        Err(error) => return Err(Failure::input(format!("{} cannot be read: {error}", file.display()))),
    };
    let (commit, date) = spectra_examples::provenance::commit()?;
    let (machine, threads) = (machine::cpu().replace(',', ";"), rayon::current_num_threads());
    for cost in costs.iter().filter(|cost| cost.left_out.is_empty()) {
        let Cost { preset, seconds, state, peak, .. } = cost;
        let milliseconds = seconds * 1e3;
        text += &format!(
            "{commit},{date},{machine},{threads},{model},{element},{preset},{milliseconds:.3},{state},{peak}\n"
        );
    }
    write_whole(file, text.as_bytes())
}

/// The history as a picture: a panel for each model and machine, a curve for each preset, over the commits in their order.
pub(crate) fn picture(file: &Path) -> Result<Vec<u8>, Failure> {
    let refused = |what: String| Failure::input(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    let lines = text.strip_prefix(TITLES).ok_or_else(|| refused("no history of step_cost".into()))?.lines();
    let mut panels: Vec<Panel> = Vec::new();
    let mut commits: Vec<&str> = Vec::new();
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [commit, _, machine, threads, model, element, preset, milliseconds, ..] = fields[..] else {
            return Err(refused(format!("line {} has too few fields", number + 2)));
        };
        let milliseconds: f64 = milliseconds
            .parse()
            .map_err(|_| refused(format!("line {}: {milliseconds} is no time", number + 2)))?;
        if !commits.contains(&commit) {
            commits.push(commit);
        }
        let title = format!("{model}, {element}; {machine}, {threads} threads");
        let at = panels.iter().position(|panel| panel.title == title).unwrap_or_else(|| {
            let curves = Vec::new();
            panels.push(Panel {
                title,
                across: "measured commits",
                up: "milliseconds",
                logarithmic: true,
                curves,
            });
            panels.len() - 1
        });
        let place = commits.iter().position(|known| *known == commit).map_or(0.0, |place| place as f64 + 1.0);
        let curves = &mut panels[at].curves;
        match curves.iter_mut().find(|(name, _)| name == preset) {
            Some((_, points)) => points.push((place, milliseconds)),
            None => curves.push((preset.into(), vec![(place, milliseconds)])),
        }
    }
    if panels.is_empty() {
        return Err(refused("holds no measurement".into()));
    }
    curves(&panels, 2)
}
