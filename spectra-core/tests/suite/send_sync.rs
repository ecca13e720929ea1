//! Which types may move to, and be shared with, other threads: all of the portable and of the `faer` backend, and what is built on a
//! backend wherever its matrices may.
use spectra_core::backend::{Backend, Error};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::faer::{Faer, FaerMatrix, MatrixMut, MatrixRef};
use spectra_core::linalg::{Scratch, Subspace, Workspace};
use spectra_core::optimizer::plan::{Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer, ParameterState, Prepared, Recipe};

const fn on_any_thread<T: Send + Sync>() {}

macro_rules! on_any_thread {
    ($($type:ty),+ $(,)?) => { $(const _: () = on_any_thread::<$type>();)+ };
}

on_any_thread! {
    Dense<f32>, Dense<f64>, DenseMatrix<f32>, DenseMatrix<f64>,
    Faer<f32>, Faer<f64>, FaerMatrix<f32>, FaerMatrix<f64>,
    MatrixRef<'static, f32>, MatrixMut<'static, f64>,
    Config, Recipe, Plan, PlanBuilder, Error,
}

/// What holds for a backend, its matrices and its scalars holds for what is made of them.
#[test]
fn what_is_built_on_a_backend_moves_with_it() {
    fn built<B>()
    where
        B: Backend<Element: Send + Sync, Matrix: Send + Sync, Scalar: Send + Sync> + Send + Sync,
    {
        on_any_thread::<Optimizer<B>>();
        on_any_thread::<ParameterState<B>>();
        on_any_thread::<Prepared<B>>();
        on_any_thread::<Workspace<B>>();
        on_any_thread::<Subspace<B>>();
        on_any_thread::<Scratch<B::Element>>();
    }
    built::<Dense<f64>>();
    built::<Faer<f32>>();
}
