//! Parts of sums, and wholes of parts.

use super::Nccl;
use super::scratch::Layout;
use crate::CudaBackend;
use crate::backend::CudaElement;
use crate::checked::{Region, Storage};
use crate::error::At;
use crate::raw::nccl::Message;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::Result;
use spectra_core::distributed::{Axis, Division, Gather, Reduce, Reduction};

/// A rank's part where it lies in the whole matrix, of an element type of `width` bytes.
pub(super) fn view(whole: Region, division: &Division, rank: usize, width: usize) -> Region {
    let ((rows, cols), start) = (division.part(rank), division.range(rank).start);
    let before = if division.axis() == Axis::Rows { start * whole.ld } else { start };
    let width = whole.storage.bytes(width);
    Region { pointer: whole.pointer + (before * width) as u64, rows, cols, ..whole }
}

/// Whether a matrix consists of the ranks' parts, one after the other.
fn is_divided(whole: &Region, division: &Division) -> bool {
    division.axis() == Axis::Rows && whole.is_contiguous() && whole.storage == Storage::Element
}

/// The parts of a matrix, one after the other without gaps.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pointer: CUdeviceptr,
    division: &'a Division,
}

impl Parts<'_> {
    fn of<E: CudaElement>(&self, rank: usize) -> Message {
        let (rows, cols) = self.division.part(rank);
        // Entries of the other axis, for each row or column of this one.
        let (m, n) = self.division.shape();
        let across = if self.division.axis() == Axis::Rows { n } else { m };
        let before = self.division.range(rank).start * across;
        Nccl::<E>::elements(self.pointer + (E::BYTES * before) as u64, rows * cols)
    }
}

impl<E: CudaElement> Nccl<E> {
    fn to_parts(&self, whole: Region, parts: Parts<'_>) -> Result<()> {
        match parts.division.axis() {
            _ if parts.pointer == whole.pointer => Ok(()),
            Axis::Rows => self.copy(Self::packed(parts.pointer, whole.shape()), whole),
            Axis::Cols => self.device.by_columns(whole, parts.pointer, self.size, false),
        }
    }

    pub(super) fn to_whole(&self, parts: Parts<'_>, whole: Region) -> Result<()> {
        match parts.division.axis() {
            _ if parts.pointer == whole.pointer => Ok(()),
            Axis::Rows => self.copy(whole, Self::packed(parts.pointer, whole.shape())),
            Axis::Cols => self.device.by_columns(whole, parts.pointer, self.size, true),
        }
    }

    /// Counts words for each of the others, and `entries` in all.
    fn count(&mut self, words: usize, entries: usize) {
        self.traffic.rounds += 1;
        self.traffic.bytes += (8 * words * (self.size - 1) + E::BYTES * entries) as u64;
    }

    pub(super) fn reduce_parts(
        &mut self,
        mine: &[u64],
        factor: f64,
        pieces: &mut [Reduce<'_, CudaBackend<E>>],
    ) -> Result<Vec<u64>> {
        const NAME: &str = "reduce";
        let entries = |shape: (usize, usize)| shape.0 * shape.1;
        let sent = |piece: &Reduce<'_, CudaBackend<E>>| {
            entries(piece.division.shape()) - entries(piece.division.part(self.rank))
        };
        self.count(mine.len(), pieces.iter().map(sent).sum());
        // NCCL's sum needs one place for it, the one in order a place for each rank's summand.
        let places = if self.reduction == Reduction::Fast { 1 } else { self.size };
        let mut layout = Layout::default();
        let words_at = layout.take(self.size * self.words_bytes(mine));
        let mut offsets = Vec::with_capacity(pieces.len());
        for piece in &*pieces {
            let (whole, part) = (
                E::BYTES * entries(piece.division.shape()),
                E::BYTES * entries(piece.division.part(self.rank)),
            );
            let own = is_divided(&piece.whole.region, piece.division);
            offsets.push((
                if own { None } else { Some(layout.take(whole)) },
                layout.take(places * part),
                part,
            ));
        }
        let base = self.scratch(NAME, &layout)?;
        let words_at = base + words_at as u64;
        let mut all = Vec::with_capacity(pieces.len());
        for (piece, (packed, got, part)) in pieces.iter().zip(offsets) {
            let pointer = packed.map_or(piece.whole.region.pointer, |at| base + at as u64);
            let parts = Parts { pointer, division: piece.division };
            self.to_parts(piece.whole.region, parts)?;
            all.push((parts, base + got as u64, part));
        }
        let words = self.upload_words(NAME, mine, words_at)?;
        // SAFETY: the matrices are live on this stream, and the scratch memory has been made for the rest.
        unsafe {
            self.link.launch(|calls| {
                if words.count > 0 {
                    calls.all_gather(words, words_at)?;
                }
                for (parts, got, part) in &all {
                    if self.reduction == Reduction::Fast {
                        (0..self.size)
                            .filter(|rank| parts.of::<E>(*rank).count > 0)
                            .try_for_each(|rank| calls.reduce(parts.of::<E>(rank), *got, rank))?;
                        continue;
                    }
                    for other in self.others() {
                        if parts.of::<E>(other).count > 0 {
                            calls.send(parts.of::<E>(other), other)?;
                        }
                        if *part > 0 {
                            let place = got + (part * other) as u64;
                            calls.receive(Self::elements(place, part / E::BYTES), other)?;
                        }
                    }
                }
                Ok(())
            })
        }
        .at(NAME)?;
        for (piece, (parts, got, part)) in pieces.iter_mut().zip(&all) {
            let mut sum = self.summands(*got, part / E::BYTES, parts.of::<E>(self.rank).pointer);
            if self.reduction == Reduction::Fast {
                (sum.own, sum.rank, sum.ranks) = (*got, 0, 1);
            }
            self.device.rank_sum(piece.part.region, sum, factor)?;
        }
        self.download_words(NAME, mine, words_at)
    }

    /// The words of all ranks, and the wholes: in scratch memory if there are words, which may tell that they are not to be written.
    pub(super) fn gathered<'a>(
        &mut self,
        mine: &[u64],
        pieces: &[Gather<'a, CudaBackend<E>>],
    ) -> Result<(Vec<u64>, Vec<Parts<'a>>)> {
        const NAME: &str = "gather";
        let own = |piece: &Gather<'_, CudaBackend<E>>| piece.part.region.rows * piece.part.region.cols;
        self.count(mine.len(), (self.size - 1) * pieces.iter().map(own).sum::<usize>());
        let mut layout = Layout::default();
        let words_at = layout.take(self.size * self.words_bytes(mine));
        let place = |piece: &Gather<'_, CudaBackend<E>>| {
            let (rows, cols) = piece.division.shape();
            let in_place = mine.is_empty() && is_divided(&piece.whole.region, piece.division);
            (!in_place).then(|| layout.take(E::BYTES * rows * cols))
        };
        let places: Vec<_> = pieces.iter().map(place).collect();
        let base = self.scratch(NAME, &layout)?;
        let words_at = base + words_at as u64;
        let mut all = Vec::with_capacity(pieces.len());
        for (piece, place) in pieces.iter().zip(places) {
            let pointer = place.map_or(piece.whole.region.pointer, |at| base + at as u64);
            let (parts, part) = (Parts { pointer, division: piece.division }, piece.part.region);
            self.copy(Self::packed(parts.of::<E>(self.rank).pointer, part.shape()), part)?;
            all.push(parts);
        }
        let words = self.upload_words(NAME, mine, words_at)?;
        // SAFETY: as for `reduce_parts`.
        unsafe {
            self.link.launch(|calls| {
                if words.count > 0 {
                    calls.all_gather(words, words_at)?;
                }
                for parts in &all {
                    (0..self.size)
                        .map(|rank| (rank, parts.of::<E>(rank)))
                        .filter(|(_, part)| part.count > 0)
                        .try_for_each(|(rank, part)| calls.broadcast(part.pointer, part, rank))?;
                }
                Ok(())
            })
        }
        .at(NAME)?;
        Ok((self.download_words(NAME, mine, words_at)?, all))
    }
}
