use cudarc::driver::{CudaContext, CudaFunction, CudaStream};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use spectra_cuda_simulator::{Selection, Simulator, ThreadOrder, print_skip, select};
use std::sync::{Arc, MutexGuard};

/// The simulator to itself, in its first state; none if the test is skipped.
pub(crate) fn simulator() -> Option<(Simulator, MutexGuard<'static, ()>)> {
    let simulator = match select() {
        Selection::Simulated(simulator) => simulator,
        Selection::Real => {
            print_skip("this tests the simulator, but SPECTRA_CUDA=real");
            return None;
        }
        Selection::Skipped(_) => return None,
    };
    let alone = simulator.exclusive();
    simulator.set_memory_limit(1 << 30);
    simulator.set_device_count(1);
    simulator.set_race_checks(false);
    simulator.set_thread_order(ThreadOrder::Forward);
    simulator.reset();
    Some((simulator, alone))
}

pub(crate) fn compile(source: &str) -> Result<Ptx, CompileError> {
    let name = Some("test.cu".to_string());
    compile_ptx_with_opts(source, CompileOptions { name, arch: Some("compute_90"), ..Default::default() })
}

/// A kernel, and the stream to run it on.
pub(crate) fn load(source: &str, kernel: &str) -> (Arc<CudaStream>, CudaFunction) {
    let context = CudaContext::new(0).unwrap();
    let module = context.load_module(compile(source).unwrap()).unwrap();
    (context.default_stream(), module.load_function(kernel).unwrap())
}
