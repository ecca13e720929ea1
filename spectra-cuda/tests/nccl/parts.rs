//! Parts of sums, and wholes of parts.

use crate::device::{Outcome, check_violations};
use crate::ranks::{Gpus, bits, driver, number, on_threads, upload};
use half::bf16;
use spectra_core::backend::{Backend, Error, Matrix, Result};
use spectra_core::distributed::{Axis, Collectives, Division, Gather, Reduce, Reduction, Traffic};
use spectra_cuda::Storage;
use spectra_cuda::cudarc::driver::{CudaSlice, DevicePtr};

fn divisions(size: usize) -> Vec<Division> {
    let mut all = Vec::new();
    for shape in [(7, 3), (3, 7), (1, 5), (40, 2), (0, 4)] {
        all.extend([Axis::Rows, Axis::Cols].map(|axis| Division::even(shape, axis, size)));
        all.push(Division::owned(shape, size / 2, size));
    }
    all
}

type Bits = Vec<Vec<u64>>;
/// Words, bits of the parts of sums and of what the wholes of them are made in; words, bits of the wholes and of their parts; what
/// was sent.
type Pieces = (Vec<u64>, Bits, Bits, Vec<u64>, Bits, Bits, Traffic);

fn pieces<B: Backend>(
    rank: usize,
    backend: &B,
    group: &mut impl Collectives<B>,
    whole: bool,
    matrix: impl Fn(&B, (usize, usize), usize) -> Result<B::Matrix>,
) -> Result<Pieces> {
    let divisions = divisions(group.size());
    let summands: Vec<_> = divisions
        .iter()
        .enumerate()
        .map(|(at, d)| matrix(backend, d.shape(), 100 * at))
        .collect::<Result<_>>()?;
    let new = |(rows, cols)| upload(backend, (rows, cols), |_| f64::NAN);
    let mut parts: Vec<_> = divisions.iter().map(|d| new(d.part(rank))).collect::<Result<_>>()?;
    // Four is exact for whole numbers.
    let factor = if whole { 0.25 } else { 1.0 / 3.0 };
    let mut to_reduce: Vec<_> = (summands.iter().zip(&mut parts).zip(&divisions))
        .map(|((whole, part), division)| Reduce::<B> { whole, part, division })
        .collect();
    let words = group.reduce(&[rank as u64, 7], factor, &mut to_reduce)?;
    // Into places of the storage that the summands have.
    let mut wholes: Vec<_> =
        divisions.iter().map(|d| matrix(backend, d.shape(), 0)).collect::<Result<_>>()?;
    let mut to_gather: Vec<_> = (parts.iter().zip(&mut wholes).zip(&divisions))
        .map(|((part, whole), division)| Gather::<B> { part, whole, division })
        .collect();
    let mut more = Vec::new();
    // What is refused is not written, and the group goes on.
    let mut refuse = |_: &[u64]| Err(Error::argument("test", "words", 0.0, "others"));
    assert!(group.gather(&[10 + rank as u64], &mut to_gather, &mut refuse).is_err());
    let before = to_gather.iter().map(|piece| bits(&*piece.whole)).collect::<Result<_>>()?;
    group.gather(&[10 + rank as u64], &mut to_gather, &mut |words| {
        more = words.to_vec();
        Ok(())
    })?;
    let mut again: Vec<_> = divisions.iter().map(|d| new(d.part(rank))).collect::<Result<_>>()?;
    for ((whole, part), division) in wholes.iter().zip(&mut again).zip(&divisions) {
        group.part(whole, division, part)?;
    }
    let all = |matrices: &[B::Matrix]| matrices.iter().map(bits).collect::<Result<Vec<_>>>();
    Ok((words, all(&parts)?, before, more, all(&wholes)?, all(&again)?, group.traffic()))
}

pub(crate) fn parts_and_wholes_have_the_bits_of_threads() -> Outcome {
    let gpus = Gpus::new()?;
    for size in gpus.sizes() {
        for whole in [false, true] {
            let values = |rank: usize, at: usize| move |i: usize| number(rank, at + i, whole);
            let expected = on_threads::<f32, _>(size, |rank, backend, mut group| {
                pieces(rank, backend, &mut group, whole, |backend, shape, at| {
                    upload(backend, shape, values(rank, at))
                })
            })?;
            let order = if whole { Reduction::Fast } else { Reduction::Ordered };
            let found = gpus.all::<f32, _>(size, |rank, backend, group| {
                let mut group = group.reduction(order);
                pieces(rank, backend, &mut group, whole, |backend, shape, at| {
                    upload(backend, shape, values(rank, at))
                })
            })?;
            // With gaps between the rows.
            let with_gaps = gpus.all::<f32, _>(size, |rank, backend, group| {
                let kept = std::sync::Mutex::new(Vec::new());
                let mut group = group.reduction(order);
                pieces(rank, backend, &mut group, whole, |backend, (rows, cols), at| {
                    let memory: CudaSlice<f32> =
                        backend.stream().alloc_zeros(rows * (cols + 3) + 1).map_err(driver)?;
                    let pointer = memory.device_ptr(backend.stream()).0;
                    kept.lock().map_or_else(|_| unreachable!(), |mut kept| kept.push(memory));
                    // SAFETY: the memory holds the matrix and lives as long.
                    let mut matrix =
                        unsafe { backend.matrix_at(pointer, (rows, cols), cols + 3, Storage::Element) }?;
                    matrix
                        .write(&(0..rows * cols).map(|i| values(rank, at)(i) as f32).collect::<Vec<_>>())?;
                    Ok(matrix)
                })
            })?;
            if found != expected || with_gaps != expected {
                return Err(
                    format!("{size} ranks, fast {whole}: {found:?}\n{with_gaps:?}\n{expected:?}").into()
                );
            }
        }
    }
    // Weights in bf16: gathered from parts in f32, rounded once.
    for size in gpus.sizes() {
        let rounded = gpus.all::<f32, _>(size, |rank, backend, mut group| {
            let division = Division::even((5, 3), Axis::Cols, size);
            let first = division.range(rank).start;
            let (rows, cols) = division.part(rank);
            let part =
                upload(backend, (rows, cols), |i| 1.0 + ((i / cols * 3 + first + i % cols) as f64) / 300.0)?;
            let memory = backend.stream().alloc_zeros::<bf16>(15).map_err(driver)?;
            let pointer = memory.device_ptr(backend.stream()).0;
            // SAFETY: the memory holds the matrix and lives as long.
            let mut whole = unsafe { backend.matrix_at(pointer, (5, 3), 3, Storage::Bf16) }?;
            let mut piece = [Gather { part: &part, whole: &mut whole, division: &division }];
            group.gather(&[], &mut piece, &mut |_| Ok(()))?;
            bits(&whole)
        })?;
        let exact =
            (0..15).map(|i| bf16::from_f32(1.0 + i as f32 / 300.0).to_f64().to_bits()).collect::<Vec<_>>();
        if rounded.iter().any(|rounded| *rounded != exact) {
            return Err(format!("{size} ranks: {rounded:?}, not {exact:?}").into());
        }
    }
    check_violations()
}
