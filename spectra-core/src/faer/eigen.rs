//! Eigenvectors of a symmetric matrix by faer, in the element type, with memory that outlives the call.

use super::FaerElement;
use super::householder::complete;
use super::scratch;
use super::symmetric::copy_transposed;
use crate::linalg::{EigenForm, sort};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use faer::diag::{DiagMut, DiagRef};
use faer::dyn_stack::MemStack;
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd_scratch, tridiagonal_self_adjoint_evd};
use faer::linalg::householder as reflections;
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Conj, MatMut, MatRef, Par};

/// faer's working memory.
#[derive(Debug, Default, Clone)]
pub struct Stack(Vec<MaybeUninit<u8>>);

/// Parts of the eigenvectors that are turned back on different threads.
const PARTS: usize = 8;

/// The eigenvectors of the symmetric k x k matrix `a`, which is overwritten, as the rows of `vectors`, in the order of increasing eigenvalues.
/// False if the iteration does not converge (NaN). The reduction to a tridiagonal matrix and that one's eigenvectors come about on one
/// thread: faer's results on several would depend on their number.
pub(super) fn eigenvectors<E: FaerElement>(
    k: usize,
    a: &mut [E],
    vectors: &mut [E],
    values: &mut [E],
    stack: &mut Stack,
) -> bool {
    let block = recommended_block_size::<E>(k, k);
    let rest = k - 1;
    let part = k.div_ceil(PARTS);
    let back =
        reflections::apply_block_householder_sequence_on_the_left_in_place_scratch::<E>(rest, block, part);
    let back = back.unaligned_bytes_required();
    let requests = [
        tridiag_in_place_scratch::<E>(k, Par::Seq, Default::default()).unaligned_bytes_required(),
        self_adjoint_evd_scratch::<E>(k, ComputeEigenvectors::Yes, Par::Seq, Default::default())
            .unaligned_bytes_required(),
        PARTS * back,
    ];
    let bytes = requests.into_iter().fold(stack.0.len(), usize::max);
    stack.0.resize(bytes, MaybeUninit::uninit());
    scratch::with(block * rest + 2 * k, |buffer: &mut [E]| {
        let (factors, diagonals) = buffer.split_at_mut(block * rest);
        let (diagonal, beside) = diagonals.split_at_mut(k);
        let mut a = MatMut::from_column_major_slice_mut(a, k, k);
        let mut factors = MatMut::from_column_major_slice_mut(factors, block, rest);
        let memory = MemStack::new(&mut stack.0);
        tridiag_in_place(a.as_mut(), factors.as_mut(), Par::Seq, memory, Default::default());
        for i in 0..k {
            diagonal[i] = a[(i, i)];
            beside[i] = if i < rest { a[(i + 1, i)] } else { E::zero() };
        }
        let (diagonal, beside) = (DiagRef::from_slice(diagonal), DiagRef::from_slice(beside));
        let mut out = MatMut::from_column_major_slice_mut(vectors, k, k);
        let values = DiagMut::from_slice_mut(values);
        let (seq, memory) = (Par::Seq, MemStack::new(&mut stack.0));
        let solved = tridiagonal_self_adjoint_evd(
            diagonal,
            beside,
            values,
            Some(out.as_mut()),
            seq,
            memory,
            Default::default(),
        );
        if solved.is_ok() {
            let basis = a.as_ref().submatrix(1, 0, rest, rest);
            turn_back(basis, factors.as_ref(), out.subrows_mut(1, rest), part, &mut stack.0, back);
        }
        solved.is_ok()
    })
}

/// Multiplies by the reflections, `part` columns at a time with `bytes` of the memory.
fn turn_back<E: FaerElement>(
    basis: MatRef<'_, E>,
    factors: MatRef<'_, E>,
    x: MatMut<'_, E>,
    part: usize,
    memory: &mut [MaybeUninit<u8>],
    bytes: usize,
) {
    let parts = x.ncols().div_ceil(part);
    if parts <= 1 {
        return reflections::apply_block_householder_sequence_on_the_left_in_place_with_conj(
            basis,
            factors,
            Conj::No,
            x,
            Par::Seq,
            MemStack::new(memory),
        );
    }
    let (x0, x1) = x.split_at_col_mut(parts / 2 * part);
    let (memory0, memory1) = memory.split_at_mut(parts / 2 * bytes);
    rayon::join(
        || turn_back(basis, factors, x0, part, memory0, bytes),
        || turn_back(basis, factors, x1, part, memory1, bytes),
    );
}

/// `values`: the symmetric k x k matrix, finite, which is replaced by its [`EigenForm`], and k^2 more numbers; `numbers`: 3 k.
/// False, with the matrix lost, if the iteration does not converge.
pub(super) fn factor<E: FaerElement>(
    k: usize,
    (ridge, power): (f64, f64),
    values: &mut [E],
    numbers: &mut [f64],
    stack: &mut Stack,
) -> bool {
    let form = EigenForm { ridge, power };
    let (a, vectors) = values.split_at_mut(k * k);
    let (lambda, rest) = numbers.split_at_mut(k);
    let (size, order) = rest[..2 * k].split_at_mut(k);
    // A power of two, so that squares stay in the range.
    let largest = a.iter().fold(0.0f64, |largest, x| largest.max(libm::fabs(x.widen())));
    let unit = libm::exp2(libm::floor(libm::log2(largest.max(E::min_positive_value().widen()))));
    let inverse = E::narrow(1.0 / unit);
    a.iter_mut().for_each(|x| *x *= inverse);
    let solved = scratch::with(k, |found: &mut [E]| {
        let solved = eigenvectors(k, a, vectors, found, stack);
        lambda.iter_mut().zip(&*found).for_each(|(lambda, x)| *lambda = x.widen() * unit);
        solved
    });
    if !solved {
        return false;
    }
    if power == 0.0 {
        size.iter_mut().zip(&*lambda).for_each(|(size, lambda)| *size = libm::fabs(*lambda));
        sort(size, order);
        let noise = EigenForm::noise::<E>(k, size.iter().fold(0.0, |largest, x| largest.max(*x)));
        let mut count = 0;
        for (place, from) in order.iter().map(|j| *j as usize).enumerate() {
            a[place * k..][..k].copy_from_slice(&vectors[from * k..][..k]);
            size[place] = if libm::fabs(lambda[from]) <= noise { 0.0 } else { lambda[from] };
            count += usize::from(size[place] != 0.0);
        }
        complete(k, count, a);
        sort(size, order);
        for (place, from) in order.iter().map(|j| *j as usize).enumerate() {
            vectors[place * k..][..k].copy_from_slice(&a[from * k..][..k]);
        }
    } else {
        let smallest = lambda[0].min(0.0);
        for (row, lambda) in vectors.chunks_exact_mut(k).zip(&*lambda) {
            let factor = E::narrow(form.factor(*lambda, smallest));
            row.iter_mut().for_each(|x| *x *= factor);
        }
    }
    let rows = MatRef::from_row_major_slice(&*vectors, k, k);
    let rows = if power == 0.0 { rows } else { rows.reverse_rows() };
    // faer's eigenvalues increase.
    copy_transposed(MatMut::from_row_major_slice_mut(a, k, k), rows);
    true
}
