//! Sums and maxima.

use crate::device::{Outcome, check_violations};
use crate::ranks::{Failure, Gpus, bits, number, on_threads, upload};
use spectra_core::backend::{Backend, Matrix, Result, Scalar};
use spectra_core::distributed::{Collectives, Reduction, Traffic};
use spectra_cuda::CudaElement;

/// Bits of the sums of matrices and numbers, and what was sent.
type Sums = (Vec<Vec<u64>>, Vec<u64>, Traffic);

fn sums<B: Backend>(
    rank: usize,
    backend: &B,
    group: &mut impl Collectives<B>,
    shapes: &[(usize, usize)],
    whole: bool,
) -> Result<Sums> {
    let new = |(at, shape): (usize, &(usize, usize))| {
        upload(backend, *shape, |i| number(rank, 100 * at + i, whole))
    };
    let mut matrices = shapes.iter().enumerate().map(new).collect::<Result<Vec<_>>>()?;
    // One that the host knows, and one that the device does.
    let side = upload(backend, (1, 2), |i| number(rank, i, whole))?;
    let mut numbers = [backend.scalar(number(rank, 5, whole))?, side.dot(&side)?];
    group.sum(
        backend,
        &mut matrices.iter_mut().collect::<Vec<_>>(),
        &mut numbers.iter_mut().collect::<Vec<_>>(),
    )?;
    let numbers = numbers.iter().map(|number| Ok(number.read()?.to_bits())).collect::<Result<_>>()?;
    Ok((matrices.iter().map(bits).collect::<Result<_>>()?, numbers, group.traffic()))
}

fn sums_in<E: CudaElement>(gpus: &Gpus) -> std::result::Result<(), Failure> {
    for size in gpus.sizes() {
        // Around the size from which every rank sums a part; empty ones, and more ranks than entries.
        for shapes in [&[(0, 3), (1, 1)][..], &[(3, 5), (2, 2)], &[(70, 40), (0, 4), (33, 9)]] {
            for whole in [false, true] {
                let expected = on_threads::<E, _>(size, |rank, backend, mut group| {
                    sums(rank, backend, &mut group, shapes, whole)
                })?;
                let found = gpus.all::<E, _>(size, |rank, backend, group| {
                    let order = if whole { Reduction::Fast } else { Reduction::Ordered };
                    sums(rank, backend, &mut group.reduction(order), shapes, whole)
                })?;
                for (rank, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    if (&found.0, &found.1) != (&expected.0, &expected.1) {
                        return Err(
                            format!("rank {rank} of {size}, {shapes:?}, fast {whole}: other bits").into()
                        );
                    }
                    if whole {
                        continue;
                    }
                    let (ours, mut theirs) = (found.2, expected.2);
                    if theirs.rounds == 2 {
                        // Theirs sums the two numbers in parts as well, ours gives both to all.
                        let own = (2 * (rank + 1) / size - 2 * rank / size) as u64;
                        theirs.bytes += 8 * 2 * (size as u64 - 1) - 8 * (2 - own + own * (size as u64 - 1));
                    }
                    if ours != theirs {
                        return Err(
                            format!("rank {rank} of {size}, {shapes:?}: {ours:?}, not {theirs:?}").into()
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn sums_have_the_bits_of_threads() -> Outcome {
    let gpus = Gpus::new()?;
    sums_in::<f32>(&gpus)?;
    sums_in::<f64>(&gpus)?;
    check_violations()
}

pub(crate) fn nan_is_kept() -> Outcome {
    let gpus = Gpus::new()?;
    for size in gpus.sizes() {
        for order in [Reduction::Ordered, Reduction::Fast] {
            let found = gpus.all::<f32, _>(size, |rank, backend, group| {
                let mut group = group.reduction(order);
                let known = backend.scalar(if rank == size - 1 { f64::NAN } else { 2.0 })?;
                let side = upload(backend, (1, 1), |_| rank as f64)?;
                let measured = side.dot(&side)?;
                let mut matrix =
                    upload(backend, (1, 2), |i| if rank == 0 && i == 1 { f64::NAN } else { 1.0 })?;
                let mut sum = known.clone();
                group.sum(backend, &mut [&mut matrix], &mut [&mut sum])?;
                let mut values = [0.0; 2];
                matrix.read(&mut values)?;
                let largest = [group.max(backend, &known)?.read()?, group.max(backend, &measured)?.read()?];
                Ok((largest, sum.read()?, values))
            })?;
            for ([nan, largest], sum, [one, other]) in found {
                let square = ((size - 1) * (size - 1)) as f64;
                if !nan.is_nan()
                    || largest != square
                    || !sum.is_nan()
                    || one != size as f32
                    || !other.is_nan()
                {
                    return Err(format!("{size}, {order:?}: {nan}, {largest}, {sum}, {one}, {other}").into());
                }
            }
        }
    }
    check_violations()
}
