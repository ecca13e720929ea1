//! Splitting slices over threads, the same way in every run.

/// Below this many elements a loop stays on the caller's thread: waking another costs about 5 us, a pass over
/// this many elements about as much.
pub(super) const GRAIN: usize = 1 << 16;

/// One or more slices of equal length that are cut at the same place.
pub(super) trait Split: Send + Sized {
    /// Elements in each slice.
    fn len(&self) -> usize;
    /// The elements before and from `at`.
    fn split(self, at: usize) -> (Self, Self);
}

impl<E: Sync> Split for &[E] {
    fn len(&self) -> usize {
        <[E]>::len(self)
    }
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl<E: Send> Split for &mut [E] {
    fn len(&self) -> usize {
        <[E]>::len(self)
    }
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

/// The numbers of the elements beside which it stands.
impl Split for core::ops::Range<usize> {
    fn len(&self) -> usize {
        ExactSizeIterator::len(self)
    }
    fn split(self, at: usize) -> (Self, Self) {
        let middle = self.start + at;
        (self.start..middle, middle..self.end)
    }
}

impl<A: Split, B: Split> Split for (A, B) {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn split(self, at: usize) -> (Self, Self) {
        let ((a0, a1), (b0, b1)) = (self.0.split(at), self.1.split(at));
        ((a0, b0), (a1, b1))
    }
}

impl<A: Split, B: Split, C: Split> Split for (A, B, C) {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn split(self, at: usize) -> (Self, Self) {
        let ((a0, a1), (b0, b1), (c0, c1)) = (self.0.split(at), self.1.split(at), self.2.split(at));
        ((a0, b0, c0), (a1, b1, c1))
    }
}

impl<S: Split + Default, const N: usize> Split for [S; N] {
    fn len(&self) -> usize {
        self.first().map_or(0, Split::len)
    }
    fn split(self, at: usize) -> (Self, Self) {
        let mut halves = self.map(|x| x.split(at));
        (halves.each_mut().map(|(a, _)| core::mem::take(a)), halves.map(|(_, b)| b))
    }
}

/// The middle of `len`, a multiple of 64 elements (whole cache lines for every slice).
fn middle(len: usize) -> usize {
    (len / 2).next_multiple_of(64).min(len)
}

/// Both, on two threads if `apart`.
pub(super) fn join<A: Send, B: Send>(
    apart: bool,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if apart { rayon::join(a, b) } else { (a(), b()) }
}

/// Runs `f` on pieces of at most [`GRAIN`] elements, on all threads.
pub(super) fn for_each<S: Split>(slices: S, f: &(impl Fn(S) + Sync)) {
    if slices.len() <= GRAIN {
        return f(slices);
    }
    let at = middle(slices.len());
    let (a, b) = slices.split(at);
    rayon::join(|| for_each(a, f), || for_each(b, f));
}

/// `f` of pieces of at most `leaf` elements, combined pairwise in a tree that depends on the length only.
pub(super) fn reduce<S: Split>(
    slices: S,
    leaf: usize,
    f: &(impl Fn(S) -> f64 + Sync),
    combine: &(impl Fn(f64, f64) -> f64 + Sync),
) -> f64 {
    let len = slices.len();
    if len <= leaf {
        return f(slices);
    }
    let (a, b) = slices.split(middle(len));
    let (a, b) = join(len > GRAIN, || reduce(a, leaf, f, combine), || reduce(b, leaf, f, combine));
    combine(a, b)
}

/// Runs `f(first row, rows)` on runs of whole rows of a row-major matrix with `cols` columns, on all threads. A
/// run starts at a multiple of 16 rows.
pub(super) fn for_each_rows<E: Send>(values: &mut [E], cols: usize, f: &(impl Fn(usize, &mut [E]) + Sync)) {
    fn run<E: Send>(first: usize, values: &mut [E], cols: usize, f: &(impl Fn(usize, &mut [E]) + Sync)) {
        let rows = values.len() / cols;
        if values.len() <= GRAIN || rows < 32 {
            return f(first, values);
        }
        let at = (rows / 2).next_multiple_of(16);
        let (a, b) = values.split_at_mut(at * cols);
        rayon::join(|| run(first, a, cols, f), || run(first + at, b, cols, f));
    }
    run(0, values, cols, f);
}
