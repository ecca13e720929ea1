//! Parameters that hold several matrices, or one that is stored the other way.

use super::defaults::matrix_view;
use crate::backend::{Error, ErrorKind, Result};
use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use core::fmt;

/// The most blocks of a parameter.
const MOST_BLOCKS: usize = 1 << 16;

/// How a parameter is cut into the matrices that are optimized, each by itself.
///
/// ```
/// use spectra_core::optimizer::plan::{Plan, Split};
///
/// let plan = Plan::builder()
///     .split("*.qkv.weight", Split::rows([64, 16, 16]).names(["q", "k", "v"])) // grouped queries
///     .split("*.c_attn.weight", Split::columns(3).transposed()) // GPT-2 stores in x out
///     .split("*.experts.*", Split::experts())
///     .build([
///         ("a.qkv.weight", &[96, 64][..]),
///         ("b.c_attn.weight", &[64, 192]),
///         ("c.experts.up", &[4, 128, 64]),
///     ])?;
/// let names: Vec<_> = plan.entries()[0].blocks().iter().map(|block| block.name()).collect();
/// assert_eq!(names, ["a.qkv.weight[q]", "a.qkv.weight[k]", "a.qkv.weight[v]"]);
/// assert_eq!(plan.entries()[2].blocks()[3].shape(), (128, 64));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    cut: Cut,
    names: Vec<Box<str>>,
    transposed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cut {
    Whole,
    Rows(Vec<usize>),
    EqualRows(usize),
    Columns(Vec<usize>),
    EqualColumns(usize),
    Leading,
}

impl Split {
    fn new(cut: Cut) -> Self {
        Self { cut, names: Vec::new(), transposed: false }
    }

    /// One matrix: takes a default split back, or with [`transposed`](Self::transposed) says how it is stored.
    #[must_use]
    pub fn whole() -> Self {
        Self::new(Cut::Whole)
    }

    /// Blocks of so many rows (output features), which together are all.
    #[must_use]
    pub fn rows(sizes: impl IntoIterator<Item = usize>) -> Self {
        Self::new(Cut::Rows(sizes.into_iter().collect()))
    }

    /// So many blocks of equally many rows.
    #[must_use]
    pub fn equal_rows(parts: usize) -> Self {
        Self::new(Cut::EqualRows(parts))
    }

    /// One block for each of so many attention heads: [`equal_rows`](Self::equal_rows).
    #[must_use]
    pub fn heads(heads: usize) -> Self {
        Self::equal_rows(heads)
    }

    /// One block for each group of a convolution, `out / groups x (in / groups * kernel)`: [`equal_rows`](Self::equal_rows). A transposed one,
    /// whose kernel is stored `in x out / groups x kernel`, is [`transposed`](Self::transposed) as well, with one group like with
    /// several: its blocks are `(out / groups * kernel) x in / groups`, the maps that it applies to a pixel.
    ///
    /// ```
    /// use spectra_core::optimizer::plan::{Plan, Split};
    ///
    /// let plan = Plan::builder()
    ///     .split("down.weight", Split::groups(4))
    ///     .split("up.weight", Split::groups(2).transposed())
    ///     .build([("down.weight", &[32, 4, 3, 3][..]), ("up.weight", &[16, 8, 2, 2])])?;
    /// let shapes: Vec<_> = plan.blocks().map(|(_, _, block)| block.shape()).collect();
    /// assert_eq!(shapes, [(8, 36), (8, 36), (8, 36), (8, 36), (32, 8), (32, 8)]);
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    #[must_use]
    pub fn groups(groups: usize) -> Self {
        Self::equal_rows(groups)
    }

    /// So many blocks of equally many columns.
    #[must_use]
    pub fn columns(parts: usize) -> Self {
        Self::new(Cut::EqualColumns(parts))
    }

    /// Blocks of so many columns, which together are all.
    #[must_use]
    pub fn columns_of(sizes: impl IntoIterator<Item = usize>) -> Self {
        Self::new(Cut::Columns(sizes.into_iter().collect()))
    }

    /// One block for each index of the first of three or more dimensions: `[experts, out, in]`.
    #[must_use]
    pub fn experts() -> Self {
        Self::new(Cut::Leading)
    }

    /// The same blocks, each stored `in x out`: the optimizer sees them transposed, `out x in`.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// Names for the blocks, instead of their numbers: `weight[q]`.
    #[must_use]
    pub fn names<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Whether this splits nothing and turns nothing.
    pub(super) fn is_plain(&self) -> bool {
        self.cut == Cut::Whole && !self.transposed
    }

    /// The blocks of a parameter.
    pub(super) fn blocks(&self, name: &str, shape: &[usize]) -> Result<Vec<Block>> {
        let refuse = |reason| Error::new("plan", ErrorKind::Name { name: name.into(), reason });
        let (rows, cols) = matrix_view(shape)?;
        let equal = |whole: usize, parts: usize| {
            let fits = (1..=MOST_BLOCKS).contains(&parts) && whole.is_multiple_of(parts);
            fits.then(|| vec![whole / parts; parts])
                .ok_or_else(|| refuse("does not divide into that many parts"))
        };
        let checked = |sizes: &[usize], whole: usize| {
            let sum = sizes.iter().try_fold(0, |sum: usize, size| sum.checked_add(*size));
            let fits = sum == Some(whole) && !sizes.contains(&0) && sizes.len() <= MOST_BLOCKS;
            fits.then(|| sizes.to_vec())
                .ok_or_else(|| refuse("is not the sum of the parts that a split gives"))
        };
        let (sizes, by_rows) = match &self.cut {
            Cut::Whole => (vec![rows], true),
            Cut::Rows(sizes) => (checked(sizes, rows)?, true),
            Cut::EqualRows(parts) => (equal(rows, *parts)?, true),
            Cut::Columns(sizes) => (checked(sizes, cols)?, false),
            Cut::EqualColumns(parts) => (equal(cols, *parts)?, false),
            Cut::Leading => return self.leading(name, shape),
        };
        if !self.names.is_empty() && self.names.len() != sizes.len() {
            return Err(refuse("has another number of parts than its split has names"));
        }
        let mut at = 0;
        let blocks = sizes.iter().enumerate().map(|(i, size)| {
            let (start, rows, cols_of_block) =
                if by_rows { (at * cols, *size, cols) } else { (at, rows, *size) };
            at += size;
            let suffix = if self.cut == Cut::Whole { Suffix::None } else { self.suffix(i) };
            Block::new(
                name,
                suffix,
                Place { start, stride: cols, transposed: self.transposed },
                (rows, cols_of_block),
            )
        });
        Ok(blocks.collect())
    }

    fn leading(&self, name: &str, shape: &[usize]) -> Result<Vec<Block>> {
        let [count, rows, rest @ ..] = shape else {
            let reason = "has no third dimension: its experts cannot be told apart";
            return Err(Error::new("plan", ErrorKind::Name { name: name.into(), reason }));
        };
        // All together are a number that has been checked.
        let (rows, cols): (usize, usize) = (*rows, rest.iter().product());
        if *count > MOST_BLOCKS {
            let reason = "has more experts than a parameter is cut into";
            return Err(Error::new("plan", ErrorKind::Name { name: name.into(), reason }));
        }
        let place = |i| Place { start: i * rows * cols, stride: cols, transposed: self.transposed };
        Ok((0..*count).map(|i| Block::new(name, self.suffix(i), place(i), (rows, cols))).collect())
    }

    fn suffix(&self, i: usize) -> Suffix {
        self.names.get(i).map_or(Suffix::Index(i), |name| Suffix::Name(name.clone()))
    }
}

/// What tells the blocks of a parameter apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Suffix {
    None,
    Name(Box<str>),
    Index(usize),
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Name(name) => write!(f, "[{name}]"),
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// Where a block lies in the row-major numbers of its parameter. Entry `(i, j)` of the *stored* block is at
/// `start + i stride + j`; a transposed block is seen by the optimizer as the transpose of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where it begins.
    pub start: usize,
    /// From one stored row to the next.
    pub stride: usize,
    /// Whether it is stored `in x out`.
    pub transposed: bool,
}

/// A matrix in a parameter, with a state of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    name: Box<str>,
    pub(super) suffix: Suffix,
    place: Place,
    stored: (usize, usize),
}

impl Block {
    fn new(parameter: &str, suffix: Suffix, place: Place, stored: (usize, usize)) -> Self {
        let name: String = format!("{parameter}{suffix}");
        Self { name: name.into(), suffix, place, stored }
    }

    /// Its name: the parameter's, and which block of it, `layers.0.qkv.weight[q]`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Rows and columns as it is stored.
    #[must_use]
    pub fn stored(&self) -> (usize, usize) {
        self.stored
    }

    /// Rows and columns as the optimizer sees it, `out x in`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        let (rows, cols) = self.stored;
        if self.place.transposed { (cols, rows) } else { (rows, cols) }
    }

    /// Whether it has more than one row and more than one column.
    pub(super) fn is_matrix(&self) -> bool {
        self.stored.0.min(self.stored.1) > 1
    }

    /// Whether its numbers lie next to each other and in the order of the matrix: a view without a copy.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        !self.place.transposed && (self.place.stride == self.stored.1 || self.stored.0 == 1)
    }
}

/// The names of fused matrices, as their last segment but `weight`, and how they are cut.
pub(super) fn of_fused(owner: &str, shape: &[usize]) -> Option<Fused> {
    let &[rows, cols] = shape else { return None };
    const QKV: [&str; 3] = ["q", "k", "v"];
    match owner {
        // GPT-2's Conv1D is stored in x out; nanoGPT's Linear out x in.
        "c_attn" if cols == 3 * rows => Some(Fused::Cut(Split::columns(3).transposed().names(QKV))),
        "c_attn" | "qkv" | "qkv_proj" | "wqkv" | "to_qkv" | "in_proj_weight" if rows == 3 * cols => {
            Some(Fused::Cut(Split::equal_rows(3).names(QKV)))
        }
        // With grouped queries the shape does not tell how many rows are keys; BLOOM's and GPT-NeoX's are interleaved by head.
        "c_attn" | "qkv" | "qkv_proj" | "wqkv" | "to_qkv" | "in_proj_weight" | "query_key_value" => {
            Some(Fused::Unknown)
        }
        "gate_up_proj" | "gate_up" | "w12" if rows.is_multiple_of(2) => {
            Some(Fused::Cut(Split::equal_rows(2).names(["gate", "up"])))
        }
        _ => None,
    }
}

/// What the name of a fused matrix and its shape tell.
pub(super) enum Fused {
    Cut(Split),
    /// Several matrices, but not where each begins.
    Unknown,
}
