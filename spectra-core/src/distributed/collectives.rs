//! Collectives on matrices.

use super::communicator::{put_words, words};
use super::{Communicator, Division, Traffic, Transport};
use crate::backend::{Backend, Coefficient, Element, Error, ErrorKind, Matrix, Result, Scalar, check_shape};
use alloc::{vec, vec::Vec};
use core::fmt;

/// A matrix of which the ranks have summands, and the sum's part that is to be here.
#[derive(Debug)]
pub struct Reduce<'a, B: Backend> {
    /// This rank's summand.
    pub whole: &'a B::Matrix,
    /// Its part of the sum, which may be empty.
    pub part: &'a mut B::Matrix,
    /// Who gets what.
    pub division: &'a Division,
}

/// A matrix of which the ranks have parts, and where the whole is to be.
#[derive(Debug)]
pub struct Gather<'a, B: Backend> {
    /// This rank's part.
    pub part: &'a B::Matrix,
    /// Where the whole comes to.
    pub whole: &'a mut B::Matrix,
    /// Who has what.
    pub division: &'a Division,
}

/// What a group of ranks does with matrices. A [`Communicator`] does it by way of the host, for any backend; an engine that works on the
/// device (NCCL) implements it for its own.
///
/// All ranks make the same calls with the same shapes and divisions in the same order. An error ends the group, and is met on all
/// ranks; what was to be written is unspecified then.
pub trait Collectives<B: Backend>: fmt::Debug {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// What this rank has sent so far.
    fn traffic(&self) -> Traffic;

    /// Sums matrices, entry by entry, and numbers over the ranks, in one call. All get the same bits.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost); those of the backend.
    fn sum(
        &mut self,
        backend: &B,
        matrices: &mut [&mut B::Matrix],
        numbers: &mut [&mut B::Scalar],
    ) -> Result<()>;

    /// The largest of the ranks' numbers; **NaN if one is** (the maximum of MPI and NCCL drops NaN).
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn max(&mut self, backend: &B, number: &B::Scalar) -> Result<B::Scalar>;

    /// The words of all ranks, one rank's after the other's. **Waits** for the device.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn words(&mut self, mine: &[u64]) -> Result<Vec<u64>>;

    /// The parts of sums, times `factor`, and the words of all ranks beside them, in one call.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn reduce(&mut self, mine: &[u64], factor: f64, pieces: &mut [Reduce<'_, B>]) -> Result<Vec<u64>>;

    /// Whole matrices of their parts, and beside them the words of all ranks, in one call. Nothing is written unless `accept` takes the words.
    ///
    /// # Errors
    /// As [`sum`](Self::sum); that of `accept`.
    fn gather(
        &mut self,
        mine: &[u64],
        pieces: &mut [Gather<'_, B>],
        accept: &mut dyn FnMut(&[u64]) -> Result<()>,
    ) -> Result<()>;

    /// This rank's part of a matrix that is here: no communication.
    ///
    /// # Errors
    /// Shapes; those of the backend.
    fn part(&mut self, whole: &B::Matrix, division: &Division, part: &mut B::Matrix) -> Result<()>;
}

impl<B: Backend, T: Transport> Collectives<B> for Communicator<T> {
    fn rank(&self) -> usize {
        Communicator::rank(self)
    }

    fn size(&self) -> usize {
        Communicator::size(self)
    }

    fn traffic(&self) -> Traffic {
        Communicator::traffic(self)
    }

    fn sum(
        &mut self,
        backend: &B,
        matrices: &mut [&mut B::Matrix],
        numbers: &mut [&mut B::Scalar],
    ) -> Result<()> {
        if Communicator::size(self) == 1 {
            return Communicator::sum::<B::Element>(self, &mut [], &mut []);
        }
        let mut values = matrices.iter().map(|matrix| read(&**matrix)).collect::<Result<Vec<_>>>()?;
        let mut known = numbers.iter().map(|number| number.read()).collect::<Result<Vec<_>>>()?;
        let mut lists: Vec<&mut [B::Element]> = values.iter_mut().map(Vec::as_mut_slice).collect();
        Communicator::sum(self, &mut lists, &mut known)?;
        matrices.iter_mut().zip(&values).try_for_each(|(matrix, values)| matrix.write(values))?;
        for (number, value) in numbers.iter_mut().zip(known) {
            **number = backend.scalar(value)?;
        }
        Ok(())
    }

    fn max(&mut self, backend: &B, number: &B::Scalar) -> Result<B::Scalar> {
        let value = number.read()?;
        backend.scalar(Communicator::max(self, value)?)
    }

    fn words(&mut self, mine: &[u64]) -> Result<Vec<u64>> {
        self.gather_words(mine)
    }

    fn reduce(&mut self, mine: &[u64], factor: f64, pieces: &mut [Reduce<'_, B>]) -> Result<Vec<u64>> {
        let (me, size) = (Communicator::rank(self), Communicator::size(self));
        for piece in &*pieces {
            check_division("reduce", piece.whole, piece.part, piece.division, (me, size))?;
        }
        if size == 1 {
            for piece in pieces {
                piece.part.scale_add(Coefficient::ZERO, factor.into(), piece.whole)?;
            }
            return self.gather_words(mine);
        }
        let wholes = pieces.iter().map(|piece| read(piece.whole)).collect::<Result<Vec<_>>>()?;
        let mut parts: Vec<Vec<B::Element>> =
            pieces.iter().map(|piece| vec![zero(); entries(piece.part)]).collect();
        let bytes = 8 * mine.len() + B::Element::BYTES * parts.iter().map(Vec::len).sum::<usize>();
        let mut all = Vec::with_capacity(mine.len() * size);
        self.exchange(
            "reduce",
            |to, out| {
                put_words(out, mine);
                for (whole, piece) in wholes.iter().zip(&*pieces) {
                    let (starts, len) = piece.division.runs(to);
                    starts.for_each(|start| B::Element::put(&whole[start..start + len], out));
                }
            },
            |_| bytes,
            |from, got| {
                let (head, mut rest) = got.split_at(8 * mine.len());
                all.extend(words(head));
                for part in &mut parts {
                    let (these, others) = rest.split_at(part.len() * B::Element::BYTES);
                    for (x, bytes) in part.iter_mut().zip(these.chunks_exact(B::Element::BYTES)) {
                        let other = B::Element::get(bytes);
                        *x = if from == 0 { other } else { *x + other };
                    }
                    rest = others;
                }
            },
        )?;
        let factor = B::Element::narrow(factor);
        for (part, piece) in parts.iter_mut().zip(pieces) {
            part.iter_mut().for_each(|x| *x = *x * factor);
            piece.part.write(part)?;
        }
        Ok(all)
    }

    fn gather(
        &mut self,
        mine: &[u64],
        pieces: &mut [Gather<'_, B>],
        accept: &mut dyn FnMut(&[u64]) -> Result<()>,
    ) -> Result<()> {
        let (me, size) = (Communicator::rank(self), Communicator::size(self));
        for piece in &*pieces {
            check_division("gather", piece.whole, piece.part, piece.division, (me, size))?;
        }
        if size == 1 {
            accept(&self.gather_words(mine)?)?;
            return pieces.iter_mut().try_for_each(|piece| piece.whole.copy_from(piece.part));
        }
        let parts = pieces.iter().map(|piece| read(piece.part)).collect::<Result<Vec<_>>>()?;
        let mut wholes: Vec<Vec<B::Element>> =
            pieces.iter().map(|piece| vec![zero(); entries(piece.whole)]).collect();
        let mut all = Vec::with_capacity(mine.len() * size);
        let len = |rank: usize| -> usize {
            let entries = |piece: &Gather<'_, B>| piece.division.part(rank).0 * piece.division.part(rank).1;
            8 * mine.len() + B::Element::BYTES * pieces.iter().map(entries).sum::<usize>()
        };
        Communicator::gather(
            self,
            "gather",
            |out| {
                put_words(out, mine);
                parts.iter().for_each(|part| B::Element::put(part, out));
            },
            len,
            |from, got| {
                let (head, rest) = got.split_at(8 * mine.len());
                all.extend(words(head));
                let mut numbers = rest.chunks_exact(B::Element::BYTES).map(B::Element::get);
                for (whole, piece) in wholes.iter_mut().zip(&*pieces) {
                    let (starts, len) = piece.division.runs(from);
                    for start in starts {
                        whole[start..start + len]
                            .iter_mut()
                            .zip(&mut numbers)
                            .for_each(|(x, number)| *x = number);
                    }
                }
            },
        )?;
        accept(&all)?;
        pieces.iter_mut().zip(&wholes).try_for_each(|(piece, whole)| piece.whole.write(whole))
    }

    fn part(&mut self, whole: &B::Matrix, division: &Division, part: &mut B::Matrix) -> Result<()> {
        let (me, size) = (Communicator::rank(self), Communicator::size(self));
        check_division("part", whole, part, division, (me, size))?;
        if entries(part) == 0 {
            return Ok(());
        }
        if part.shape() == whole.shape() {
            return part.copy_from(whole);
        }
        let values = read(whole)?;
        let (starts, len) = division.runs(me);
        let mut taken = Vec::with_capacity(entries(part));
        starts.for_each(|start| taken.extend_from_slice(&values[start..start + len]));
        part.write(&taken)
    }
}

fn zero<E: Element>() -> E {
    E::narrow(0.0)
}

fn entries<M: Matrix>(matrix: &M) -> usize {
    matrix.shape().0 * matrix.shape().1
}

fn read<M: Matrix>(matrix: &M) -> Result<Vec<M::Element>> {
    let mut values = vec![zero(); entries(matrix)];
    matrix.read(&mut values)?;
    Ok(values)
}

/// An error unless whole and part are what the division says for this rank: for who implements [`Collectives`].
///
/// # Errors
/// [`ErrorKind::Shape`](crate::backend::ErrorKind::Shape); [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) for a division
/// among another number of ranks; [`ErrorKind::Unsupported`](crate::backend::ErrorKind::Unsupported) for one without parts.
pub fn check_division<M: Matrix>(
    operation: &'static str,
    whole: &M,
    part: &M,
    division: &Division,
    (rank, size): (usize, usize),
) -> Result<()> {
    if division.ranks() != size {
        return Err(Error::argument(
            operation,
            "ranks of the division",
            division.ranks() as f64,
            "the group's size",
        ));
    }
    if division.is_shared() {
        let what = "parts of a matrix that every rank has";
        return Err(Error::new(operation, ErrorKind::Unsupported { what }));
    }
    check_shape(operation, division.shape(), whole.shape())?;
    check_shape(operation, division.part(rank), part.shape())
}
