//! Ranks that are lost, that do other things, and calls that are refused.

use crate::device::{Outcome, check_violations, simulator};
use crate::ranks::{Gpus, driver, joined, upload};
use crate::script::Script;
use spectra_core::backend::{Backend, Error, ErrorKind, Matrix, Result};
use spectra_core::distributed::{Axis, Collectives, Division, Lost, Reduce};
use spectra_cuda::nccl::{Nccl, unique_id};
use spectra_cuda::{CudaBackend, Precision};
use spectra_cuda_simulator::Loss;
use std::sync::Barrier;
use std::time::Duration;

/// For tests that wait for it.
const SHORT: Duration = Duration::from_millis(200);

/// How a rank may be lost at one of its calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// Its device never gets there.
    Hangs(Loss),
    /// Its thread panics.
    Panics,
    /// It drops its group.
    Leaves,
}

pub(crate) fn a_rank_that_is_lost_is_an_error_on_all() -> Outcome {
    let gpus = Gpus::new()?;
    const SIZE: usize = 3;
    let (Some(simulator), true) = (simulator(), gpus.sizes().any(|size| size == SIZE)) else {
        return Ok(()); // a device that hangs is for the simulated one
    };
    // What each rank launches: the second sum is larger than 8 KiB and has two rounds, the fifth call gathers three times.
    let launches = gpus.all::<f32, _>(SIZE, |rank, backend, mut group| {
        simulator.reset();
        Script::new(rank, SIZE, backend)?.run(backend, &mut group, &[7])?;
        Ok(group.traffic())
    })?;
    assert_eq!((launches[0].calls, launches[0].rounds), (8, 9));
    let mut ways: Vec<_> = [How::Panics, How::Leaves]
        .into_iter()
        .flat_map(|how| (0..Script::CALLS).map(move |at| (how, at)))
        .collect();
    ways.extend((0..9).map(|at| (How::Hangs(Loss::Silent), at)));
    ways.extend([0, 2, 5, 8].map(|at| (How::Hangs(Loss::Told), at)));
    for (how, at) in ways {
        simulator.reset();
        if let How::Hangs(loss) = how {
            simulator.fail_collectives(1, at as u64, loss);
        }
        let results = gpus.on_ranks::<f32, _>(SIZE, SHORT, |rank, backend, mut group| {
            let mut script = Script::new(rank, SIZE, backend)?;
            for call in 0..Script::CALLS {
                match how {
                    How::Panics if (rank, call) == (1, at) => std::panic::resume_unwind(Box::new(())),
                    How::Leaves if (rank, call) == (1, at) => return Ok(Lost::left(1)),
                    _ => {}
                }
                let Err(error) = script.call(call, backend, &mut group, &[7]) else { continue };
                let lost = lost(error)?;
                // There is no way back, and the device is free.
                for again in 0..Script::CALLS {
                    let error = script.call(again, backend, &mut group, &[7]);
                    assert!(matches!(&error, Err(e) if matches!(e.kind(), ErrorKind::Lost(same) if *same == lost)), "{error:?}");
                }
                upload(backend, (1, 1), |_| 1.0)?.read(&mut [0.0])?;
                return Ok(lost);
            }
            Err(Error::argument("test", "calls", 0.0, "one that fails"))
        })?;
        for (rank, result) in results.into_iter().enumerate() {
            let expected = match (how, rank) {
                (How::Panics, 1) if result.is_err() => continue,
                (How::Leaves, 1) => Lost::left(1),
                (How::Hangs(Loss::Told), 1) => {
                    Lost { rank: Some(1), reason: "met NCCL's error ncclSystemError" }
                }
                _ => Lost::DEADLINE,
            };
            match result {
                Ok(Ok(lost)) if lost == expected => {}
                other => return Err(format!("{how:?} at {at}: rank {rank} has {other:?}").into()),
            }
        }
    }
    check_violations()
}

fn lost(error: Error) -> Result<Lost> {
    if let ErrorKind::Lost(lost) = error.kind() { Ok(*lost) } else { Err(error) }
}

/// What a sum has left in the stream has no end: whoever waits for the device learns it, once, and the device goes on.
pub(crate) fn reads_and_writes_notice_a_lost_rank() -> Outcome {
    let gpus = Gpus::new()?;
    if simulator().is_none() || gpus.sizes().all(|size| size < 2) {
        return Ok(());
    }
    // More than what the driver takes from the host without waiting.
    let large = vec![0.0; 20_000];
    for read in [true, false] {
        let barrier = Barrier::new(2);
        let results = gpus.on_ranks::<f32, _>(2, SHORT, |rank, backend, mut group| {
            if rank == 1 {
                barrier.wait();
                return Ok(Lost::DEADLINE);
            }
            let (mut matrix, mut other) =
                (upload(backend, (1, 3), |_| 1.0)?, backend.zeros(1, large.len(), None)?);
            group.sum(backend, &mut [&mut matrix], &mut [])?;
            let mut wait = || if read { matrix.read(&mut [0.0; 3]) } else { other.write(&large) };
            let found = wait();
            let again = wait();
            let refused = group.sum(backend, &mut [], &mut []);
            barrier.wait();
            again?;
            let (Err(found), Err(refused)) = (found, refused) else { return Ok(Lost::left(0)) };
            assert_eq!(lost(refused)?, Lost::DEADLINE);
            lost(found)
        })?;
        let results = joined(results)?;
        if results != [Lost::DEADLINE; 2] {
            return Err(format!("read {read}: {results:?}").into());
        }
    }
    check_violations()
}

/// Messages of equal lengths that mean other things: noticed where words are exchanged.
pub(crate) fn other_calls_are_told() -> Outcome {
    let gpus = Gpus::new()?;
    for size in gpus.sizes().filter(|size| *size > 1) {
        let found = gpus.all::<f32, _>(size, |rank, backend, mut group| {
            let shape = if rank == 1 { (4, 1) } else { (1, 4) };
            group.sum(backend, &mut [&mut upload(backend, shape, |_| 1.0)?], &mut [])?;
            let Err(error) = group.words(&[1]) else { return Ok(None) };
            Ok(Some(lost(error)?))
        })?;
        for (rank, found) in found.into_iter().enumerate() {
            if found != Some(Lost::other_call(usize::from(rank != 1))) {
                return Err(format!("rank {rank} of {size}: {found:?}").into());
            }
        }
    }
    check_violations()
}

pub(crate) fn what_is_refused() -> Outcome {
    let gpus = Gpus::new()?;
    let found = gpus.all::<f32, _>(1, |_, backend, mut group| {
        let stranger = CudaBackend::<f32>::new(
            &backend.stream().context().new_stream().map_err(driver)?,
            Precision::F32,
        )?;
        let rank = Nccl::new(backend, [0; 128], 1, 1, SHORT).err().map(|e| e.to_string());
        let other = group.sum(backend, &mut [&mut upload(&stranger, (1, 2), |_| 0.0)?], &mut []);
        let (mut part, division) = (upload(backend, (2, 2), |_| 0.0)?, Division::even((2, 2), Axis::Rows, 2));
        let whole = upload(backend, (2, 2), |_| 0.0)?;
        let ranks =
            group.reduce(&[], 1.0, &mut [Reduce { whole: &whole, part: &mut part, division: &division }]);
        // None of which ends the group.
        group.words(&[3])?;
        Ok([rank, other.err().map(|e| e.to_string()), ranks.err().map(|e| e.to_string())])
    })?;
    let words = ["rank", "different streams", "ranks of the division"];
    for (text, words) in found[0].iter().zip(words) {
        if !text.as_ref().is_some_and(|text| text.contains(words)) {
            return Err(format!("{text:?} does not say {words:?}").into());
        }
    }
    // A rank whose others never come.
    if simulator().is_some() {
        let backend = crate::device::backend::<f32>()?;
        let error = Nccl::new(&backend, unique_id()?, 0, 2, SHORT).err();
        if !error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::Lost(Lost::DEADLINE))) {
            return Err(format!("alone: {error:?}").into());
        }
    }
    check_violations()
}
