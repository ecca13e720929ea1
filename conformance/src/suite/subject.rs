//! The backend under test, with what every check needs.

use spectra_core::backend::{Backend, Element, Matrix, Scalar};
use spectra_core::linalg::Workspace;

use super::{Failure, Outcome};
use crate::checks::threads;
use crate::inputs::{self, Family, Input, NON_FINITE};
use crate::{HostMatrix, Precision, RequiredOnly};

/// Gives a second handle to a matrix, as a user of the framework could hold one.
pub type SecondHandle<M> = fn(&M) -> M;

/// A backend under test.
#[derive(Debug)]
pub struct Subject<B: Backend> {
    backend: B,
    second_handle: Option<SecondHandle<B::Matrix>>,
    threads: Option<fn(&Subject<B>) -> Outcome>,
}

impl<B: Backend> Clone for Subject<B> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), ..*self }
    }
}

impl<B: Backend> Subject<B> {
    /// The backend, without a way to make a second handle.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self { backend, second_handle: None, threads: None }
    }

    /// The same with a function that gives a second handle to a matrix, as a user of the framework would hold one:
    /// `Clone::clone`, where the matrix has it.
    #[must_use]
    pub fn with_second_handle(self, second_handle: SecondHandle<B::Matrix>) -> Self {
        Self { second_handle: Some(second_handle), ..self }
    }

    /// The same, to be used from two threads at once. Handles to a backend that is `Send` can meet on two threads, whoever made
    /// them; nothing else is needed, since each thread has matrices of its own. (The optimizer's `par_step` also wants
    /// matrices and scalars that are `Send` and `Sync`.)
    #[must_use]
    pub fn on_threads(self) -> Self
    where
        B: Send,
    {
        Self { threads: Some(threads::race::<B>), ..self }
    }

    /// The same, whose backend is not `Send`: the compiler keeps it on one thread.
    pub(crate) fn on_one_thread(self) -> Self {
        Self { threads: Some(threads::on_one::<B>), ..self }
    }

    /// The check on two threads, if something is known of the backend's type.
    pub(crate) fn threads(&self) -> Option<fn(&Self) -> Outcome> {
        self.threads
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The function that gives a second handle, if there is one.
    #[must_use]
    pub fn second_handle(&self) -> Option<SecondHandle<B::Matrix>> {
        self.second_handle
    }

    /// The precision of the backend's elements.
    #[must_use]
    pub fn precision(&self) -> Precision {
        Precision::of::<B::Element>()
    }

    /// The standard inputs, rounded to the backend's precision.
    #[must_use]
    pub fn inputs(&self) -> &'static [Input] {
        inputs::standard(self.precision())
    }

    /// The standard inputs but for denormals, NaN and infinities.
    pub fn ordinary_inputs(&self) -> impl Iterator<Item = &'static Input> {
        self.inputs().iter().filter(|input| !matches!(input.family, Family::Denormal | Family::NonFinite))
    }

    /// Inputs at the ends of the range that algorithms must cope with.
    ///
    /// Where squares would leave the range of the elements, algorithms scale by a norm, if the host knows it. If it does
    /// not, the squares have to be in range.
    ///
    /// # Errors
    /// The backend's.
    pub fn extreme_inputs(&self) -> Result<Vec<&'static Input>, Failure> {
        let one = self.upload(&HostMatrix::identity(1))?;
        let host_knows_norms = one.dot(&one)?.known().is_some();
        Ok(if host_knows_norms || self.precision() == Precision::F64 {
            self.inputs().iter().filter(|input| input.family == Family::Extreme).collect()
        } else {
            inputs::squares_in_range().iter().collect()
        })
    }

    /// Standard normal entries that depend on the label and the shape only.
    #[must_use]
    pub fn random(&self, label: &str, rows: usize, cols: usize) -> HostMatrix {
        let rng = &mut inputs::generator(&format!("{label} {rows} x {cols}"));
        inputs::gaussian(rows, cols, rng).rounded(self.precision())
    }

    /// The same device without the overrides of provided methods.
    #[must_use]
    pub fn required_only(&self) -> Subject<RequiredOnly<B>> {
        Subject::new(RequiredOnly(self.backend.clone()))
    }

    /// A fresh pool of temporaries.
    #[must_use]
    pub fn workspace(&self) -> Workspace<B> {
        Workspace::new(self.backend.clone())
    }

    /// A device scalar.
    ///
    /// # Errors
    /// The backend's.
    pub fn scalar(&self, value: f64) -> Result<B::Scalar, Failure> {
        Ok(self.backend.scalar(value)?)
    }

    /// `matrix` on the device, rounded to the backend's precision.
    ///
    /// # Errors
    /// The backend's.
    pub fn upload(&self, matrix: &HostMatrix) -> Result<B::Matrix, Failure> {
        let values: Vec<B::Element> = matrix.data.iter().map(|entry| B::Element::narrow(*entry)).collect();
        Ok(self.backend.upload(matrix.rows, matrix.cols, &values)?)
    }

    /// A device matrix whose entries are NaN of both signs and infinities: what an operation must not read.
    ///
    /// # Errors
    /// The backend's.
    pub fn unreadable(&self, rows: usize, cols: usize) -> Result<B::Matrix, Failure> {
        self.upload(&HostMatrix::from_fn(rows, cols, |row, col| NON_FINITE[(row + col) % NON_FINITE.len()].1))
    }

    /// The values of a device matrix.
    ///
    /// # Errors
    /// The backend's.
    pub fn download(&self, matrix: &B::Matrix) -> Result<HostMatrix, Failure> {
        let (rows, cols) = matrix.shape();
        let mut values = vec![B::Element::narrow(f64::NAN); rows * cols];
        matrix.read(&mut values)?;
        Ok(HostMatrix::from_data(rows, cols, values.iter().map(|value| value.widen()).collect()))
    }
}
