//! NCCL through cudarc's own interface: ranks in threads and in one thread, and what is reported.

#[allow(dead_code)]
mod common;

use common::simulator;
use cudarc::driver::{CudaContext, CudaStream, DevicePtr};
use cudarc::nccl::{Comm, Id, ReduceOp, group_end, group_start, result, sys};
use std::sync::Arc;

/// What each rank makes of `f(rank, communicator, its stream)`, in a thread and on a device of its own.
fn on_ranks<R: Send>(size: usize, f: impl Fn(usize, &Comm, &Arc<CudaStream>) -> R + Sync) -> Vec<R> {
    let id = Id::new().unwrap();
    std::thread::scope(|scope| {
        let f = &f;
        let start = |rank| {
            scope.spawn(move || {
                let stream = CudaContext::new(rank).unwrap().default_stream();
                let comm = Comm::from_rank(stream.clone(), rank, size, id).map_err(|e| e.0).unwrap();
                let result = f(rank, &comm, &stream);
                stream.synchronize().unwrap(); // or the end of the communicator breaks off what is queued
                result
            })
        };
        let ranks: Vec<_> = (0..size).map(start).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn every_collective() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_device_count(4);
    for size in [1, 2, 3, 4] {
        let found = on_ranks(size, |rank, comm, stream| {
            let mine = stream.clone_htod(&[rank as f32, 10.0, f32::NAN, 1.0]).unwrap();
            let zeros = |len| stream.alloc_zeros::<f32>(len).unwrap();
            let (mut sum, mut root, mut most, mut all) = (zeros(4), zeros(4), zeros(4), zeros(4 * size));
            let mut part = zeros(1);
            let whole = stream.clone_htod(&vec![rank as f32; size]).unwrap();
            comm.all_reduce(&mine, &mut sum, &ReduceOp::Sum).unwrap();
            let most_of = stream.clone_htod(&[if rank == 0 { f32::NAN } else { 1.0 }; 4]).unwrap();
            comm.all_reduce(&most_of, &mut most, &ReduceOp::Max).unwrap();
            comm.reduce(&mine, (rank == size - 1).then_some(&mut root), &ReduceOp::Sum, size as i32 - 1)
                .unwrap();
            comm.all_gather(&mine, &mut all).unwrap();
            comm.reduce_scatter(&whole, &mut part, &ReduceOp::Sum).unwrap();
            let mut copy = zeros(4);
            comm.broadcast((rank == 0).then_some(&mine), &mut copy, 0).unwrap();
            let mut got = zeros(4);
            group_start().unwrap();
            comm.send(&mine, ((rank + 1) % size) as i32).unwrap();
            comm.recv(&mut got, ((rank + size - 1) % size) as i32).unwrap();
            group_end().unwrap();
            [&sum, &root, &most, &all, &part, &copy, &got].map(|x| stream.clone_dtoh(x).unwrap())
        });
        let ranks = (size * (size - 1) / 2) as f32;
        for (rank, [sum, root, most, all, part, copy, got]) in found.into_iter().enumerate() {
            let expected = [ranks, 10.0 * size as f32, f32::NAN, size as f32].map(f32::to_bits);
            let bits = |x: &[f32]| {
                x.iter()
                    .map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() })
                    .collect::<Vec<_>>()
            };
            assert_eq!(bits(&sum), expected);
            assert_eq!(bits(&root), if rank == size - 1 { expected } else { [0; 4] });
            // As the real one: NaN is dropped.
            assert!(most.iter().all(|x| if size == 1 { x.is_nan() } else { *x == 1.0 }), "{most:?}");
            assert!((0..size).all(|other| all[4 * other] == other as f32));
            assert_eq!(part, [ranks]);
            assert_eq!((copy[0], got[0]), (0.0, ((rank + size - 1) % size) as f32));
        }
    }
    simulator.check().unwrap();
    simulator.set_device_count(1);
}

#[test]
fn one_thread_with_groups() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_device_count(3);
    let streams: Vec<_> = (0..3).map(|i| CudaContext::new(i).unwrap().default_stream()).collect();
    let comms = Comm::from_devices(streams.clone()).map_err(|e| e.0).unwrap();
    let mut numbers: Vec<_> = streams.iter().map(|stream| stream.clone_htod(&[1.5f64; 5]).unwrap()).collect();
    let sum = |numbers: &mut [_]| {
        for (comm, numbers) in comms.iter().zip(numbers) {
            comm.context().bind_to_thread().unwrap();
            comm.all_reduce_in_place(numbers, &ReduceOp::Sum).map_err(|e| e.0)?;
        }
        Ok::<_, sys::ncclResult_t>(())
    };
    group_start().unwrap();
    sum(&mut numbers).unwrap();
    group_end().unwrap();
    for (stream, numbers) in streams.iter().zip(&numbers) {
        assert_eq!(stream.clone_dtoh(numbers).unwrap(), [4.5; 5]);
    }
    let counters = simulator.counters();
    assert_eq!(
        (counters.collective_calls, counters.collective_groups, counters.collective_bytes),
        (3, 3, 160)
    );
    simulator.check().unwrap();
    assert_eq!(sum(&mut numbers), Err(sys::ncclResult_t::ncclInvalidUsage));
    assert!(simulator.violations()[0].contains("one thread calls for two ranks"));
    simulator.reset();
    simulator.set_device_count(1);
}

#[test]
fn what_waits_is_in_the_order_of_the_stream() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_device_count(2);
    let streams = [0, 1].map(|i| CudaContext::new(i).unwrap().default_stream());
    let side = streams[0].fork().unwrap();
    let mut comms = Comm::from_devices(streams.to_vec()).map_err(|e| e.0).unwrap();
    let second = comms.pop().unwrap();
    let first = comms.pop().unwrap();
    let mut one = streams[0].clone_htod(&[1.0f32; 3]).unwrap();
    first.context().bind_to_thread().unwrap();
    first.all_reduce_in_place(&mut one, &ReduceOp::Sum).unwrap();
    // Copied after the sum on another stream, from memory that is freed before anything has run.
    let mut copy = side.alloc_zeros::<f32>(3).unwrap();
    side.memcpy_dtod(&one, &mut copy).unwrap();
    drop(one);
    let event = side.record_event(None).unwrap();
    // SAFETY: the event lives.
    let asked = || unsafe { cudarc::driver::result::event::query(event.cu_event()) }.map_err(|e| e.0);
    assert_eq!(asked(), Err(cudarc::driver::sys::CUresult::CUDA_ERROR_NOT_READY));
    assert_eq!(simulator.counters().host_waits(), 0);
    std::thread::scope(|scope| {
        let second = std::panic::AssertUnwindSafe(OnAnyThread(second));
        let stream = streams[1].clone();
        scope.spawn(move || {
            let second = second;
            let mut other = stream.clone_htod(&[2.0f32; 3]).unwrap();
            second.0.0.all_reduce_in_place(&mut other, &ReduceOp::Sum).unwrap();
            assert_eq!(stream.clone_dtoh(&other).unwrap(), [3.0; 3]);
        });
    });
    assert_eq!(asked(), Ok(()));
    assert_eq!(side.clone_dtoh(&copy).unwrap(), [3.0; 3]);
    simulator.check().unwrap();
    simulator.set_device_count(1);
}

/// cudarc's communicator, which its raw handle keeps from being `Send`.
struct OnAnyThread(Comm);

// SAFETY: a communicator may be used by any thread, by one at a time.
unsafe impl Send for OnAnyThread {}

#[test]
fn what_is_wrong_is_reported() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_device_count(2);
    let streams = [0, 1].map(|i| CudaContext::new(i).unwrap().default_stream());
    let memory = streams.each_ref().map(|stream| stream.alloc_zeros::<f32>(4).unwrap());
    let mut comms = [std::ptr::null_mut(); 2];
    // SAFETY: the array has two places.
    unsafe { result::comm_init_all(comms.as_mut_ptr(), 2, std::ptr::null()) }.unwrap();
    // A sum of `count` numbers on a rank.
    let sum = |rank: usize, count: usize, comm| {
        streams[rank].context().bind_to_thread().unwrap();
        let at = memory[rank].device_ptr(&streams[rank]).0;
        let (float, op) = (sys::ncclDataType_t::ncclFloat32, sys::ncclRedOp_t::ncclSum);
        // SAFETY: the memory holds four numbers; what goes beyond is what is tested.
        let done = unsafe {
            result::all_reduce(
                at as *const _,
                at as *mut _,
                count,
                float,
                op,
                comm,
                streams[rank].cu_stream().cast(),
            )
        };
        done.map(drop).map_err(|error| error.0)
    };
    let reported = |words: &str| {
        let violations = simulator.violations();
        assert!(violations.len() == 1 && violations[0].contains(words), "{violations:?}");
        simulator.reset();
    };
    assert_eq!(sum(0, 5, comms[0]), Err(sys::ncclResult_t::ncclInvalidArgument));
    reported("20 bytes at byte 0 of an allocation of 16 bytes");
    assert_eq!(sum(1, 4, comms[0]), Err(sys::ncclResult_t::ncclInvalidUsage));
    reported("the context of another device");
    group_start().unwrap();
    sum(0, 4, comms[0]).unwrap();
    sum(1, 3, comms[1]).unwrap();
    group_end().unwrap();
    reported("ranks meet in different calls");
    // The devices hang. An abort lets them go on.
    for (rank, comm) in comms.into_iter().enumerate() {
        // SAFETY: a communicator.
        unsafe { result::comm_abort(comm) }.unwrap();
        streams[rank].synchronize().unwrap();
    }
    assert_eq!(sum(0, 4, comms[0]), Err(sys::ncclResult_t::ncclInvalidArgument));
    reported("has been aborted");
    simulator.set_device_count(1);
}
