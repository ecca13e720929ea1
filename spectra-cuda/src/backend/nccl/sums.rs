//! Sums and maxima of all ranks.

use super::super::scalar::coefficients;
use super::Nccl;
use super::scratch::Layout;
use crate::backend::CudaElement;
use crate::checked::{Join, Region, Storage, Summands};
use crate::error::At;
use crate::{CudaMatrix, CudaScalar};
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Coefficient, Result};
use spectra_core::distributed::Reduction;
use std::ops::Range;

/// Up to this many bytes everyone gets all summands; more are summed in parts, as [`Communicator`](crate::distributed::Communicator) does.
const SMALL: usize = 8192;

impl<E: CudaElement> Nccl<E> {
    pub(super) fn sum_all(
        &mut self,
        matrices: &mut [&mut CudaMatrix<E>],
        numbers: &mut [&mut CudaScalar],
    ) -> Result<()> {
        let entries = matrices.iter().map(|matrix| matrix.region.rows * matrix.region.cols).sum::<usize>();
        let (numbers_bytes, bytes) = (8 * numbers.len(), 8 * numbers.len() + E::BYTES * entries);
        let ring = |bytes: usize| (2 * bytes * (self.size - 1) / self.size) as u64;
        let to_all = |bytes: usize| (bytes * (self.size - 1)) as u64;
        let own = self.part_of(entries, self.rank).len();
        let (rounds, sent) = match self.reduction {
            Reduction::Fast => (1, ring(bytes)),
            Reduction::Ordered if bytes <= SMALL || self.size == 2 => (1, to_all(bytes)),
            Reduction::Ordered => {
                (2, to_all(numbers_bytes + E::BYTES * own) + (E::BYTES * (entries - own)) as u64)
            }
        };
        self.traffic.rounds += rounds;
        self.traffic.bytes += sent;
        match (self.reduction, rounds) {
            (Reduction::Fast, _) => self.sum_by_nccl(matrices, numbers),
            (Reduction::Ordered, 1) => self.sum_by_everyone(matrices, numbers, bytes),
            (Reduction::Ordered, _) => self.sum_in_parts(matrices, numbers, entries),
        }
    }

    /// The entries of a list that rank `rank` sums.
    fn part_of(&self, entries: usize, rank: usize) -> Range<usize> {
        entries * rank / self.size..entries * (rank + 1) / self.size
    }

    /// Numbers to `at`.
    fn pack_numbers<'a>(&self, numbers: impl Iterator<Item = &'a CudaScalar>, at: CUdeviceptr) -> Result<()> {
        let ones = [Coefficient::ONE; 3];
        for (i, number) in numbers.enumerate() {
            let of = [Coefficient::device(1.0, number), ones[0], ones[1], ones[2]];
            self.device.scalar_evaluate(
                at + 8 * i as u64,
                &*coefficients("sum", (&self.device, 1), of)?,
                1,
            )?;
        }
        Ok(())
    }

    /// Of `ranks` numbers at `at`, `stride` from one to the next.
    fn joined(&self, at: CUdeviceptr, stride: usize, ranks: usize, join: Join) -> Result<CudaScalar> {
        CudaScalar::measured(&self.device, 1, |place| {
            self.device.rank_number(place, (at, stride), ranks, join)
        })
    }

    pub(super) fn largest(&mut self, number: &CudaScalar) -> Result<CudaScalar> {
        let mut layout = Layout::default();
        layout.take(8 * self.size);
        let base = self.scratch("max", &layout)?;
        let own = base + 8 * self.rank as u64;
        self.pack_numbers(std::iter::once(number), own)?;
        // SAFETY: the scratch memory has been made for the numbers of all ranks.
        unsafe { self.link.launch(|calls| calls.all_gather(Self::bytes(own, 8), base)) }.at("max")?;
        self.joined(base, 1, self.size, Join::Max)
    }

    /// Matrices to `at`, one after the other.
    fn pack(&self, matrices: &[&mut CudaMatrix<E>], at: CUdeviceptr) -> Result<()> {
        let mut at = at;
        for matrix in matrices {
            let packed = Self::packed(at, matrix.region.shape());
            self.copy(packed, matrix.region)?;
            at += packed.bytes(E::BYTES) as u64;
        }
        Ok(())
    }

    /// Everybody gets all summands.
    fn sum_by_everyone(
        &mut self,
        matrices: &mut [&mut CudaMatrix<E>],
        numbers: &mut [&mut CudaScalar],
        bytes: usize,
    ) -> Result<()> {
        const NAME: &str = "sum";
        let (mut layout, slot) = (Layout::default(), bytes.next_multiple_of(16));
        layout.take(self.size * slot);
        let base = self.scratch(NAME, &layout)?;
        let own = base + (self.rank * slot) as u64;
        let entries = 8 * numbers.len() as u64;
        self.pack_numbers(numbers.iter().map(|number| &**number), own)?;
        self.pack(matrices, own + entries)?;
        // SAFETY: the scratch memory has been made for the summands of all ranks.
        unsafe { self.link.launch(|calls| calls.all_gather(Self::bytes(own, slot), base)) }.at(NAME)?;
        for (i, number) in numbers.iter_mut().enumerate() {
            **number = self.joined(base + 8 * i as u64, slot / 8, self.size, Join::Sum)?;
        }
        let mut at = entries;
        for matrix in matrices {
            let summands = self.summands(base + at, slot / E::BYTES, own + at);
            self.device.rank_sum(matrix.region, summands, 1.0)?;
            at += Self::packed(0, matrix.region.shape()).bytes(E::BYTES) as u64;
        }
        Ok(())
    }

    pub(super) fn summands(&self, pointer: CUdeviceptr, stride: usize, own: CUdeviceptr) -> Summands {
        Summands { pointer, stride, own, rank: self.rank, ranks: self.size }
    }

    /// Each rank sums its part of everything, then tells the others. The numbers go to everybody at once.
    fn sum_in_parts(
        &mut self,
        matrices: &mut [&mut CudaMatrix<E>],
        numbers: &mut [&mut CudaScalar],
        entries: usize,
    ) -> Result<()> {
        const NAME: &str = "sum";
        let (mut layout, mine, count) = (Layout::default(), self.part_of(entries, self.rank), numbers.len());
        let numbers_at = layout.take(8 * count * self.size);
        let entries_at = layout.take(E::BYTES * entries);
        let got_at = layout.take(E::BYTES * mine.len() * self.size);
        let base = self.scratch(NAME, &layout)?;
        let [numbers_at, entries_at, got_at] = [numbers_at, entries_at, got_at].map(|at| base + at as u64);
        let own_numbers = numbers_at + (8 * count * self.rank) as u64;
        let part = |rank: usize| {
            let part = self.part_of(entries, rank);
            Self::elements(entries_at + (E::BYTES * part.start) as u64, part.len())
        };
        let got = |rank: usize| Self::elements(got_at + (E::BYTES * mine.len() * rank) as u64, mine.len());
        self.pack_numbers(numbers.iter().map(|number| &**number), own_numbers)?;
        self.pack(matrices, entries_at)?;
        // SAFETY: the scratch memory has been made for all of them.
        unsafe {
            self.link.launch(|calls| {
                calls.all_gather(Self::bytes(own_numbers, 8 * count), numbers_at)?;
                self.others().try_for_each(|other| {
                    calls.send(part(other), other)?;
                    calls.receive(got(other), other)
                })
            })
        }
        .at(NAME)?;
        let own = part(self.rank).pointer;
        let sum = self.summands(got_at, mine.len(), own);
        self.device.rank_sum(Self::packed(own, (1, mine.len())), sum, 1.0)?;
        // SAFETY: as above.
        unsafe {
            self.link.launch(|calls| {
                (0..self.size).try_for_each(|rank| calls.broadcast(part(rank).pointer, part(rank), rank))
            })
        }
        .at(NAME)?;
        for (i, number) in numbers.iter_mut().enumerate() {
            **number = self.joined(numbers_at + 8 * i as u64, count, self.size, Join::Sum)?;
        }
        self.unpack(matrices, entries_at)
    }

    fn unpack(&self, matrices: &mut [&mut CudaMatrix<E>], at: CUdeviceptr) -> Result<()> {
        let mut at = at;
        for matrix in matrices {
            let packed = Self::packed(at, matrix.region.shape());
            self.copy(matrix.region, packed)?;
            at += packed.bytes(E::BYTES) as u64;
        }
        Ok(())
    }

    /// NCCL's sum, in place where a matrix has no gaps.
    fn sum_by_nccl(
        &mut self,
        matrices: &mut [&mut CudaMatrix<E>],
        numbers: &mut [&mut CudaScalar],
    ) -> Result<()> {
        const NAME: &str = "sum";
        let mut layout = Layout::default();
        let numbers_at = layout.take(8 * numbers.len());
        let in_place = |region: &Region| region.is_contiguous() && region.storage == Storage::Element;
        let places: Vec<_> = matrices
            .iter()
            .map(|matrix| matrix.region)
            .map(|region| (!in_place(&region)).then(|| layout.take(E::BYTES * region.rows * region.cols)))
            .collect();
        let base = self.scratch(NAME, &layout)?;
        let numbers_at = base + numbers_at as u64;
        let mut messages = Vec::with_capacity(matrices.len());
        for (matrix, place) in matrices.iter().zip(&places) {
            let region = matrix.region;
            let pointer = place.map_or(region.pointer, |at| base + at as u64);
            if place.is_some() {
                self.copy(Self::packed(pointer, region.shape()), region)?;
            }
            messages.push(Self::elements(pointer, region.rows * region.cols));
        }
        self.pack_numbers(numbers.iter().map(|number| &**number), numbers_at)?;
        // SAFETY: the matrices are live on this stream, and the scratch memory has been made for the rest.
        unsafe {
            self.link.launch(|calls| {
                messages
                    .iter()
                    .filter(|message| message.count > 0)
                    .try_for_each(|message| calls.sum(*message))?;
                if numbers.is_empty() {
                    return Ok(());
                }
                calls.sum(Self::doubles(numbers_at, numbers.len()))
            })
        }
        .at(NAME)?;
        for (i, number) in numbers.iter_mut().enumerate() {
            **number = self.joined(numbers_at + 8 * i as u64, 1, 1, Join::Sum)?;
        }
        for ((matrix, message), _) in
            matrices.iter_mut().zip(&messages).zip(&places).filter(|(_, place)| place.is_some())
        {
            self.copy(matrix.region, Self::packed(message.pointer, matrix.region.shape()))?;
        }
        Ok(())
    }
}
