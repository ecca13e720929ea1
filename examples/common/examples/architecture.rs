//! Draws which part of the code imports which, from the sources: `cargo run --release --example architecture` writes
//! docs/architecture.svg. Its test holds the picture against the code, and the code against the floors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Nobody imports from a floor above their own, but for [`UPWARD`]. A part is a folder of the core, or a crate by its folder; an empty
/// name is an empty place in the picture.
const FLOORS: &[&[&str]] = &[
    &["spectra-candle", "spectra-burn", "spectra-cuda", "spectra-mpi", "conformance"],
    &["distributed"],
    &["optimizer"],
    &["rules", "frank_wolfe"],
    &["scales", "", ""],
    &["maps", "directions"],
    &["", "", "", "faer"],
    &["", "", "", "dense"],
    &["state", "linalg", "schedules", "", ""],
    &["backend"],
];

/// From, to, why.
#[cfg(test)]
const UPWARD: &[(&str, &str, &str)] = &[
    ("backend", "distributed", "an error names the rank that is lost"),
    ("backend", "linalg", "defaults of the traits are algorithms"),
    ("directions", "rules", "a direction counts its flops as rules do"),
    ("linalg", "faer", "a workspace holds the kernels' memory"),
    ("linalg", "maps", "qdwh is a map"),
    ("optimizer", "distributed", "a block's flops and words are what owners are found by"),
    ("maps", "rules", "a map says how it divides, and what it measured"),
    ("rules", "optimizer", "weights are summed for the checksum of a state"),
];

type Edges = BTreeMap<(&'static str, &'static str), usize>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn main() -> io::Result<()> {
    let place = root().join("docs/architecture.svg");
    fs::write(&place, picture(&imports()?))?;
    println!("written to docs/architecture.svg");
    Ok(())
}

fn parts() -> impl Iterator<Item = &'static str> {
    FLOORS.iter().flat_map(|floor| floor.iter().copied()).filter(|part| !part.is_empty())
}

fn floor(part: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&part)).unwrap_or(FLOORS.len())
}

/// How many lines of one part import another. Tests and comments do not count.
fn imports() -> io::Result<Edges> {
    let mut edges = Edges::new();
    for from in parts() {
        let core = root().join("spectra-core/src");
        let own = root().join(from).join("src");
        let (place, prefix) = match (own.is_dir(), core.join(from).is_dir()) {
            (true, _) => (own, "spectra_core::"),
            (false, true) => (core.join(from), "crate::"),
            (false, false) => (core.join(from).with_extension("rs"), "crate::"),
        };
        for line in lines(&place)? {
            for to in parts().filter(|to| *to != from && line.contains(&format!("{prefix}{to}"))) {
                *edges.entry((from, to)).or_default() += 1;
            }
        }
    }
    Ok(edges)
}

/// The lines of code in a file, or in all that a folder holds.
fn lines(place: &Path) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            if path.file_stem().is_none_or(|stem| stem != "tests") {
                all.extend(lines(&path)?);
            }
        }
    } else if place.extension().is_some_and(|kind| kind == "rs") {
        let text = fs::read_to_string(place)?;
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        all.extend(code.lines().filter(|line| !line.trim_start().starts_with("//")).map(String::from));
    }
    Ok(all)
}

/// What lies above each and is reached from it by arrows downward.
fn reached(edges: &Edges, from: &'static str, seen: &mut BTreeSet<&'static str>) {
    for &(_, to) in edges.keys().filter(|(part, to)| *part == from && floor(from) < floor(to)) {
        if seen.insert(to) {
            reached(edges, to, seen);
        }
    }
}

/// An arrow downward that no way over others replaces.
fn is_drawn(edges: &Edges, (from, to): (&'static str, &'static str)) -> bool {
    edges.keys().filter(|(part, other)| *part == from && *other != to && floor(from) < floor(other)).all(
        |(_, other)| {
            let mut seen = BTreeSet::new();
            reached(edges, other, &mut seen);
            !seen.contains(to)
        },
    )
}

fn picture(edges: &Edges) -> String {
    const WIDTH: usize = 980;
    const BETWEEN: usize = 74;
    let places: BTreeMap<&str, (usize, usize)> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(y, floor)| {
            let step = WIDTH / (floor.len() + 1);
            floor.iter().enumerate().map(move |(x, part)| (*part, ((x + 1) * step, y * BETWEEN + 40)))
        })
        .filter(|(part, _)| !part.is_empty())
        .collect();
    let height = FLOORS.len() * BETWEEN + 30;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (&(from, to), lines) in edges {
        let ((x1, y1), (x2, y2)) = (places[from], places[to]);
        let (down, beside) = (floor(from) < floor(to), floor(from) == floor(to));
        let (y1, y2) = if down { (y1 + 17, y2 - 17) } else { (y1.saturating_sub(17), y2 + 17) };
        let path = match (down, beside) {
            (true, _) if is_drawn(edges, (from, to)) => format!("M{x1} {y1} L{x2} {y2}\" stroke=\"#567"),
            (false, false) => format!(
                "M{x1} {y1} Q{} {} {x2} {y2}\" stroke-dasharray=\"5 4\" stroke=\"#b43",
                (x1 + x2) / 2 + 60,
                y1.midpoint(y2)
            ),
            _ => continue,
        };
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\"><title>{from} imports {to} in {lines} lines</title></path>"
        );
    }
    for (part, (x, y)) in &places {
        let (fill, radius) = if floor(part) == 0 { ("#e3edf7", 17) } else { ("#f4f1e8", 3) };
        let wide = 10 * part.len() + 24;
        let (left, top) = (x - wide / 2, y - 17);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"34\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"#567\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{part}</text>",
            y + 5
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_imports_upward_but_for_what_is_listed() {
        let edges = imports().expect("the sources");
        let upward =
            edges.keys().filter(|(from, to)| floor(from) > floor(to)).copied().collect::<BTreeSet<_>>();
        let listed = UPWARD.iter().map(|&(from, to, _)| (from, to)).collect::<BTreeSet<_>>();
        assert_eq!(upward, listed);
    }

    #[test]
    fn the_picture_is_of_this_code() {
        let drawn = fs::read_to_string(root().join("docs/architecture.svg")).expect("the picture");
        assert!(
            drawn == picture(&imports().expect("the sources")),
            "cargo run --release --example architecture draws it anew"
        );
    }
}
