//! Columns, or rows, in the order of their keys.

use super::{Scratch, SmallFactor, Workspace, jacobi};
use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar};

/// Puts the columns of the matrices, or the rows where the flag says so, in the order in which the `keys` (1 x k) decrease; equal ones
/// keep their order. Where the host knows norms (CPU) each is copied once, else it is multiplied by [`SmallFactor::Sorter`], for
/// which a device **waits**.
pub(crate) fn sort_by<B: Backend>(
    keys: &B::Matrix,
    matrices: &mut [(&mut B::Matrix, bool)],
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let is_whole = |x: &B::Matrix| !B::DISTRIBUTES || x.layout() == 0;
    if keys.max_abs()?.known().is_some() && matrices.iter().all(|(x, _)| is_whole(x)) {
        return matrices.iter_mut().try_for_each(|(x, rows)| on_host(keys, x, *rows, &mut workspace.scratch));
    }
    let (zero, one, k) = (Coefficient::ZERO, Coefficient::ONE, keys.shape().1);
    let (mut diagonal, mut sorter) = (workspace.take(k, k)?, workspace.take(k, k)?);
    let column = workspace.ones(k, 1)?;
    diagonal.gemm(zero, one, &column, Op::Plain, keys, Op::Plain)?;
    sorter.small_factor(SmallFactor::Sorter, &diagonal, &mut workspace.scratch)?;
    for (x, rows) in matrices {
        let mut sorted = workspace.take_like(x, x.shape().1)?;
        if *rows {
            sorted.gemm(zero, one, &sorter, Op::Transposed, x, Op::Plain)?;
        } else {
            sorted.gemm(zero, one, x, Op::Plain, &sorter, Op::Plain)?;
        }
        x.copy_from(&sorted)?;
        workspace.give(sorted);
    }
    workspace.give_ones(column);
    workspace.give(diagonal);
    workspace.give(sorter);
    Ok(())
}

fn on_host<M: Matrix>(keys: &M, x: &mut M, rows: bool, scratch: &mut Scratch<M::Element>) -> Result<()> {
    let ((m, n), k) = (x.shape(), keys.shape().1);
    let (values, numbers) = scratch.slices((2 * m * n).max(k), 2 * k);
    let (numbers, order) = numbers.split_at_mut(k);
    keys.read(&mut values[..k])?;
    numbers.iter_mut().zip(&*values).for_each(|(number, key)| *number = key.widen());
    jacobi::sort(numbers, order);
    let (from, to) = values[..2 * m * n].split_at_mut(m * n);
    x.read(from)?;
    if rows {
        for (row, i) in to.chunks_exact_mut(n).zip(&*order) {
            row.copy_from_slice(&from[*i as usize * n..][..n]);
        }
    } else {
        for (row, from) in to.chunks_exact_mut(n).zip(from.chunks_exact(n)) {
            row.iter_mut().zip(&*order).for_each(|(x, j)| *x = from[*j as usize]);
        }
    }
    x.write(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::{Dense, DenseMatrix};

    /// Equal keys keep their order, negative ones come last.
    #[test]
    fn columns_and_rows_follow_their_keys() {
        let keys = DenseMatrix::from_vec(1, 4, alloc::vec![2.0, -1.0, 7.0, 2.0]).unwrap();
        let mut wide = DenseMatrix::from_fn(3, 4, |i, j| (10 * i + j) as f64);
        let mut tall = DenseMatrix::from_fn(4, 2, |i, j| (10 * i + j) as f64);
        let workspace = &mut Workspace::new(Dense::<f64>::new());
        sort_by(&keys, &mut [(&mut wide, false), (&mut tall, true)], workspace).unwrap();
        assert_eq!(wide.values(), [2.0, 0.0, 3.0, 1.0, 12.0, 10.0, 13.0, 11.0, 22.0, 20.0, 23.0, 21.0]);
        assert_eq!(tall.values(), [20.0, 21.0, 0.0, 1.0, 30.0, 31.0, 10.0, 11.0]);
    }
}
