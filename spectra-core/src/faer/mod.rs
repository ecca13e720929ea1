//! The fast CPU backend: general products by the faer library, products with a narrow matrix and everything else by
//! the loops here, on all threads of rayon's pool.
//!
//! * **Who splits.** faer's own parallel products allocate their bookkeeping on every call. Here the output is
//!   split into parts, and each part is one sequential faer product (`gemm.rs`), so that a call that has run
//!   once allocates nothing. (Measured with faer 0.24.4 on 2 threads: 9 allocations of 390 bytes in all at
//!   256 x 256, 12 of 6.3 KB at 1024 x 1024; none when sequential.) Every sum runs in an order that depends on
//!   shapes only: the same call gives the same bits whatever the number of threads.
//! * **Narrow products.** The low-rank weight update and `A^T B` read the large matrix where it lies and keep a tile of
//!   the result in registers (`tile.rs`). The sweep of the power iteration goes over the matrix twice, for `M V`, in the same
//!   pass as the momentum and its norm, and for `M^T P`: one pass by blocks, with the products from the shared cache, was
//!   measured no faster, since both halves wait for the multipliers.
//! * **Vectors.** Loops are written so that the compiler vectorises them, or on the vectors of pulp, and run under
//!   an instruction set found at run time (`simd.rs`), in this crate (`kernels.rs`).
//! * **Precision.** Products accumulate in the element type, reductions in `f64`. What is kept in bf16 or f16 is widened when it
//!   is read and rounded once when it is written, a piece at a time (`storage.rs`).

mod borrowed;
mod eigen;
mod elementwise;
mod entrywise;
mod forward;
mod gemm;
mod householder;
mod kernels;
mod low_rank;
mod mars;
mod matrix;
mod parallel;
mod reduce;
mod scratch;
mod simd;
mod sixteen;
mod storage;
mod symmetric;
mod tile;
mod transposed;

pub use borrowed::{MatrixMut, MatrixRef};
pub(crate) use eigen::Stack;
pub(crate) use kernels::Kernels;
pub use matrix::{Faer, FaerElement, FaerMatrix};
pub(crate) use scratch::{Pool, Scope, enter, provide};
pub use sixteen::Sixteen;
pub use storage::{Values, ValuesMut};

#[cfg(test)]
mod tests;
