//! The traits of `spectra-core` on device memory.

mod element;
mod matrix;
#[cfg(feature = "nccl")]
pub mod nccl;
mod operations;
mod power;
mod scalar;
#[cfg(test)]
mod threads;

pub use element::{CudaElement, Precision};
pub use matrix::CudaMatrix;
pub use scalar::CudaScalar;

use crate::checked::{Average, Device, MOST, Of, Products, Storage, Tally};
use crate::error::{At, CudaError};
use cudarc::driver::{CudaContext, CudaStream};
use spectra_core::backend::{
    Backend, Entrywise, Error, Gradient, Matrix, Result, Scalar, ScalarOp, Stacking, composed,
};
use spectra_core::linalg::{Orthonormalization, PowerIteration, SixteenBits, Subspace, Workspace};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Matrices of `f32` or `f64` on one CUDA stream, which is the caller's.
///
/// Everything is queued on that stream and returns at once; only [`Matrix::read`](spectra_core::backend::Matrix::read)
/// and [`Scalar::read`](spectra_core::backend::Scalar::read) wait. Clones share the compiled kernels, the cuBLAS handle
/// and the working memory (32 MiB for cuBLAS, 256 KiB for reductions, what factorisations need), also on several threads.
pub struct CudaBackend<E> {
    device: Arc<Device>,
    /// Parts of its matrices: 1, or those of stacks.
    count: usize,
    iterates: Storage,
    element: PhantomData<E>,
}

/// The device with this number.
///
/// What [`CudaContext::new`] does, with an error where that panics because CUDA is not installed.
///
/// # Errors
/// [`CudaError::Library`] without NVIDIA's driver, NVRTC or cuBLAS, [`CudaError::NoDevice`], and the driver's.
pub fn open(ordinal: usize) -> Result<Arc<CudaContext>> {
    const NAME: &str = "open";
    crate::raw::libraries::check().at(NAME)?;
    let count = match CudaContext::device_count() {
        Ok(count) => usize::try_from(count).unwrap_or(0),
        Err(error) if error.0 == cudarc::driver::sys::CUresult::CUDA_ERROR_NO_DEVICE => 0,
        Err(error) => return Err(CudaError::from(error).at(NAME)),
    };
    if ordinal >= count {
        return Err(CudaError::NoDevice { ordinal, count }.at(NAME));
    }
    CudaContext::new(ordinal).at(NAME)
}

impl<E: CudaElement> CudaBackend<E> {
    /// The backend on the caller's stream. Compiles the kernels (seconds on a machine whose driver has not kept them, once in
    /// a process) and allocates its working memory.
    ///
    /// # Errors
    /// Missing libraries, kernels that do not compile, no memory; a reduced precision asked of `f64`.
    pub fn new(stream: &Arc<CudaStream>, precision: Precision) -> Result<Self> {
        const NAME: &str = "CudaBackend::new";
        let products = element::products::<E>(NAME, precision)?;
        let device = Arc::new(Device::new(stream, products).at(NAME)?);
        Ok(Self { device, count: 1, iterates: precision.iterates(), element: PhantomData })
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<CudaStream> {
        self.device.stream()
    }

    /// From the order 6 `least` on, symmetric products in a reduced precision are computed by the blocks, each of this order at least, on
    /// and above the diagonal, and mirrored (orders that can be cut into equal blocks of a multiple of 8); 512 unless set. For all
    /// clones.
    pub fn set_least_block(&self, least: usize) {
        self.device.least_block.store(least, std::sync::atomic::Ordering::Relaxed);
    }

    /// What has been asked of the device so far, by all clones.
    pub fn tally(&self) -> Tally {
        self.device.tally()
    }
}

impl<E> Clone for CudaBackend<E> {
    fn clone(&self) -> Self {
        let Self { device, count, iterates, .. } = self;
        Self { device: device.clone(), count: *count, iterates: *iterates, element: PhantomData }
    }
}

impl<E> fmt::Debug for CudaBackend<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaBackend").field("device", &self.device).finish()
    }
}

impl<E: CudaElement> Backend for CudaBackend<E> {
    type Element = E;
    type Scalar = CudaScalar;
    type Matrix = CudaMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        CudaMatrix::zeros(&self.device, (rows, cols), Storage::Element, self.count)
    }

    fn stacking(&self) -> Option<&dyn Stacking<Self>> {
        (self.count == 1).then_some(self)
    }

    fn iterate_format(&self) -> Option<SixteenBits> {
        match self.iterates {
            Storage::Element => None,
            Storage::Bf16 => Some(SixteenBits::Bf16),
            Storage::Fp16 => Some(SixteenBits::F16),
        }
    }

    fn product_epsilon(&self) -> f64 {
        match (self.iterates, self.device.products()) {
            (Storage::Bf16, _) => 1.0 / 128.0,
            (Storage::Fp16, _) | (_, Products::Tf32) => 1.0 / 1024.0,
            _ => E::EPSILON,
        }
    }

    fn zeros_iterate(&self, rows: usize, cols: usize) -> Result<Self::Matrix> {
        CudaMatrix::zeros(&self.device, (rows, cols), self.iterates, self.count)
    }

    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        Ok(CudaScalar::constant(value))
    }

    fn entrywise_add<const N: usize>(
        mut matrices: [&mut Self::Matrix; N],
        (beta, alpha): (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        if let Entrywise::Mars { .. } = rule {
            return composed::entrywise_add(matrices, (beta, alpha), rule, gradient, workspace);
        }
        rule.check(&matrices.each_ref().map(|x| x.shape()), gradient.values.shape())?;
        let weights = (beta.into(), alpha.into());
        match (rule, matrices.as_mut_slice()) {
            (Entrywise::Adam { betas, eps, slow: None }, [out, first, second]) => {
                out.adam(weights, [first, second], gradient, betas, eps, None)
            }
            (Entrywise::Adam { betas, eps, slow: Some((b3, a)) }, [out, first, second, slow]) => {
                out.adam(weights, [first, second], gradient, betas, eps, Some((slow, b3, a)))
            }
            (Entrywise::Momentum { mu, weight, nesterov, sign }, [out, state]) => {
                let of = if nesterov { Of::Ahead } else { Of::New };
                let average = Average { mu, weight, of, look: mu, gain: weight, sign };
                out.momentum_add(weights, state, gradient, average)
            }
            (Entrywise::Lion { betas: (b1, b2) }, [out, state]) => {
                let (weight, gain) = (1.0 - b2, 1.0 - b1);
                let average = Average { mu: b2, weight, of: Of::Old, look: b1, gain, sign: true };
                out.momentum_add(weights, state, gradient, average)
            }
            // Refused above.
            (
                Entrywise::Momentum { .. }
                | Entrywise::Lion { .. }
                | Entrywise::Adam { .. }
                | Entrywise::Mars { .. },
                _,
            ) => Ok(()),
        }
    }

    fn power_iteration(
        options: &PowerIteration,
        m: &mut Self::Matrix,
        update: Option<(f64, &Gradient<'_, Self::Matrix>)>,
        v: &mut Self::Matrix,
        workspace: &mut Workspace<Self>,
    ) -> Result<Subspace<Self>> {
        power::iterate(options, m, update, v, workspace)
    }

    fn add_squares<'m>(
        sum: Self::Scalar,
        matrices: impl Iterator<Item = &'m Self::Matrix>,
    ) -> Result<Self::Scalar>
    where
        Self::Matrix: 'm,
    {
        let mut groups: Vec<Vec<&CudaMatrix<E>>> = Vec::new();
        for x in matrices.filter(|x| !x.region.is_empty()) {
            let fits = |known: &&mut Vec<&CudaMatrix<E>>| {
                let one = known[0];
                known.len() < MOST && one.is_like(x) && one.shape() == x.shape()
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(x),
                None => groups.push(vec![x]),
            }
        }
        groups.iter().try_fold(sum, |sum, group| CudaScalar::combine(ScalarOp::Add, &sum, &squares(group)?))
    }

    fn orthonormalize(p: &mut Self::Matrix, workspace: &mut Workspace<Self>) -> Result<Orthonormalization> {
        power::orthonormalize(p, workspace)
    }
}

/// The kernels' third dimension counts the parts, which find their matrices in tables on the device; cuBLAS takes the same tables.
/// Results have the bits of matrices that are worked on one after the other, but for what cuBLAS makes of a batch.
impl<E: CudaElement> Stacking<Self> for CudaBackend<E> {
    fn most(&self) -> usize {
        MOST
    }

    fn alike(&self, a: &CudaMatrix<E>, b: &CudaMatrix<E>) -> bool {
        a.is_like(b)
    }

    fn of(&self, count: usize) -> Result<Self> {
        if !(2..=MOST).contains(&count) {
            return Err(Error::argument("stack", "count", count as f64, "from 2 to 256"));
        }
        Ok(Self { count, ..self.clone() })
    }

    fn stack(&self, parts: &[&CudaMatrix<E>], last: Option<CudaMatrix<E>>) -> Result<CudaMatrix<E>> {
        if !(2..=MOST).contains(&parts.len()) {
            return Err(Error::argument("stack", "parts", parts.len() as f64, "from 2 to 256"));
        }
        CudaMatrix::stack(parts, last)
    }
}

impl<E: CudaElement> CudaBackend<E> {
    /// A matrix in device memory that somebody else owns, row-major with `ld` elements from one row to the next. Nothing
    /// is copied; operations change the memory in place.
    ///
    /// An algorithm leaves an output its handle. [`Optimizer`](crate::Optimizer) borrows buffers safely.
    ///
    /// # Errors
    /// [`CudaError::LeadingDimension`]; bf16 storage asked of an `f64` backend.
    ///
    /// # Safety
    /// `pointer` must be aligned device memory of the backend's context that holds `(rows - 1) ld + cols` elements of
    /// `storage`, until the matrix, and each [stack](Stacking::stack) of it, is dropped or stacked anew, and the work queued with it is done; nobody may touch the entries
    /// meanwhile unless it is ordered with the backend's stream.
    pub unsafe fn matrix_at(
        &self,
        pointer: cudarc::driver::sys::CUdeviceptr,
        (rows, cols): (usize, usize),
        ld: usize,
        storage: Storage,
    ) -> Result<CudaMatrix<E>> {
        CudaMatrix::borrowed(&self.device, pointer, (rows, cols), ld, storage)
    }
}

/// The sum of the squares of the entries of matrices that are alike, at most [`MOST`].
fn squares<E: CudaElement>(all: &[&CudaMatrix<E>]) -> Result<CudaScalar> {
    const NAME: &str = "squares";
    let [first, others @ ..] = all else { return Ok(CudaScalar::constant(0.0)) };
    others.iter().try_for_each(|x| check_device(NAME, &first.device, &x.device))?;
    let regions: Vec<_> = all.iter().map(|x| x.region).collect();
    CudaScalar::measured(&first.device, 1, |place| first.device.squares(&regions, place))
}

/// The error of a scalar or matrix that lives on another stream.
pub(crate) fn check_device(operation: &'static str, own: &Arc<Device>, other: &Arc<Device>) -> Result<()> {
    if Arc::ptr_eq(own, other) || own.stream() == other.stream() {
        Ok(())
    } else {
        Err(CudaError::ForeignMatrix.at(operation))
    }
}
