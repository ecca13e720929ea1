//! What the report says of an experiment.

/// How an experiment's claim stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Borne out, and by what.
    Shown(String),
    /// Not so here, and by what.
    Refuted(String),
    /// The measurement does not decide it, and why.
    Undecided(String),
}

impl Standing {
    /// As it is printed.
    pub fn text(&self) -> String {
        match self {
            Self::Shown(why) => format!("shown: {why}"),
            Self::Refuted(why) => format!("refuted at our size: {why}"),
            Self::Undecided(why) => format!("not decided: {why}"),
        }
    }
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Above it.
    pub title: String,
    /// Of its columns.
    pub titles: Vec<&'static str>,
    /// As many cells each.
    pub rows: Vec<Vec<String>>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Below it.
    pub caption: String,
    /// A PNG file.
    pub png: Vec<u8>,
}

/// An experiment's part of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Name of the experiment.
    pub name: String,
    /// What is asked.
    pub question: String,
    /// What chance alone would give.
    pub null: String,
    /// What came of it.
    pub standing: Standing,
    /// The command that makes the runs.
    pub command: String,
    /// What the runs took in all, and how many of them are there.
    pub effort: String,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its pictures.
    pub figures: Vec<Figure>,
}
