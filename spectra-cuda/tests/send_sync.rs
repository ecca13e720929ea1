//! Which types may be used from several threads: all of them. What a type says here it says to the compiler; that it is true
//! of clones of one backend is tested in `src/backend/threads.rs` and `tests/device/threads.rs`.

use spectra_cuda::{
    CudaBackend, CudaError, CudaMatrix, CudaScalar, Error, Optimizer, Parameter, Precision, Source, Storage,
    Tally, Target,
};

const fn on_any_thread<T: Send + Sync>() {}

macro_rules! on_any_thread {
    ($($type:ty),+ $(,)?) => { $(const _: () = on_any_thread::<$type>();)+ };
}

on_any_thread! {
    CudaBackend<f32>, CudaBackend<f64>,
    CudaMatrix<f32>, CudaMatrix<f64>,
    CudaScalar,
    Optimizer<f32>, Optimizer<f64>,
    Parameter<'static, f32>, Parameter<'static, f64>,
    Source<'static, f32>, Source<'static, f64>,
    Target<'static, f32>, Target<'static, f64>,
    Precision, Storage, Tally,
    CudaError, Error,
    spectra_cuda::nccl::Nccl<f32>, spectra_cuda::nccl::Nccl<f64>,
}

/// Whatever the element type, an optimizer may move to the thread that trains.
#[test]
fn optimizers_move_to_other_threads() {
    fn moved<E: spectra_cuda::CudaElement>() {
        on_any_thread::<Optimizer<E>>();
        on_any_thread::<CudaMatrix<E>>();
    }
    moved::<f32>();
    moved::<f64>();
}
