//! Eigenvectors of a symmetric matrix by faer, with memory that outlives the call.

use alloc::vec::Vec;
use core::mem::MaybeUninit;
use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{MatMut, MatRef, Par};

/// faer's working memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stack(Vec<MaybeUninit<u8>>);

/// The eigenvectors of the symmetric k x k matrix `a` as the columns of the row-major `vectors`, in the order of increasing
/// eigenvalues. False if the iteration does not converge (NaN). One thread: the result must not depend on their number.
pub(crate) fn eigenvectors(
    k: usize,
    a: &[f64],
    vectors: &mut [f64],
    values: &mut [f64],
    stack: &mut Stack,
) -> bool {
    let params = Default::default();
    let request = self_adjoint_evd_scratch::<f64>(k, ComputeEigenvectors::Yes, Par::Seq, params);
    stack.0.resize(stack.0.len().max(request.unaligned_bytes_required()), MaybeUninit::uninit());
    let (a, out) = (MatRef::from_row_major_slice(a, k, k), MatMut::from_row_major_slice_mut(vectors, k, k));
    let memory = MemStack::new(&mut stack.0);
    self_adjoint_evd(a, DiagMut::from_slice_mut(values), Some(out), Par::Seq, memory, params).is_ok()
}
