//! The head that only the model as a whole tells: its last matrix, if that is called `fc`.

use alloc::string::String;
use alloc::vec::Vec;

use super::entry::{Entry, Reason, Rule};
use super::names::{Name, stem};

/// A matrix called `fc`, `fc1`, .., behind no layer index.
struct Candidate {
    /// Its place in the model.
    at: usize,
    /// The modules around it.
    parent: String,
    /// The same without the digits at the end of each.
    stems: String,
}

/// Gives the elementwise rule to the model's last matrix if its name is `fc`, with or without a number.
///
/// It is no head in a numbered layer, however the layers are numbered (`block1.fc` and `block2.fc` as well), or if the model
/// has a head by name. Names in alphabetical order, as candle's `VarMap` gives them, do not tell which matrix is the last:
/// there it is the last `fc`, if all of them are in one module.
pub(super) fn name_last_fc(entries: &mut [Entry]) {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut last_matrix = None;
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.view.0 > 1) {
        let lower = entry.name.to_ascii_lowercase();
        let name = Name::new(&lower);
        match name.kind() {
            Some(Reason::Head) => return,
            Some(_) => continue,
            None => last_matrix = Some(at),
        }
        if let Some(before) = name.before_fc().filter(|_| entry.shape.len() == 2) {
            let stems: Vec<&str> = before.iter().map(|segment| stem(segment)).collect();
            candidates.push(Candidate { at, parent: before.join("."), stems: stems.join(".") });
        }
    }
    let numbered = |one: &Candidate| {
        candidates.iter().any(|other| other.stems == one.stems && other.parent != one.parent)
    };
    let single: Vec<&Candidate> = candidates.iter().filter(|one| !numbered(one)).collect();
    let Some(last) = single.last() else { return };
    let is_last = if entries.is_sorted_by(|a, b| a.name <= b.name) {
        single.iter().all(|one| one.parent == last.parent)
    } else {
        last_matrix == Some(last.at)
    };
    if is_last
        && let Some(entry) = entries.get_mut(last.at)
        && entry.reason == Reason::Matrix
    {
        (entry.rule, entry.reason) = (Rule::Elementwise, Reason::Head);
    }
}
