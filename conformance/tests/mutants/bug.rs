//! How a defect is written down: its name, what is wrong in words, the operation, and what takes its place.

/// What the signatures of the operations name.
pub(crate) mod signatures {
    pub(crate) use spectra_core::backend::{Element, Entrywise, Gradient, Op, Result, ScalarOp};
    pub(crate) use spectra_core::dense::DenseMatrix;
    pub(crate) use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};

    pub(crate) use crate::hooks::{Bug, Number};
}

/// A defect of one operation, written as what takes its place; with numbers that say from where on, or how often.
macro_rules! bug {
    ($name:ident, $defect:literal, $operation:ident, |$($argument:pat_param),+| $body:expr) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;
        const _: () = {
            #[allow(unused_imports, reason = "what the signatures name")]
            use $crate::bug::signatures::*;
            impl<E: Element> Bug<E> for $name {
                fn defect(&self) -> &'static str {
                    $defect
                }
                $crate::bug::operation!($operation $($argument),+ => $body);
            }
        };
    };
    ($name:ident<$($param:ident),+>, $defect:literal, $operation:ident, |$($argument:pat_param),+| $body:expr) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name<$(const $param: usize),+>;
        const _: () = {
            #[allow(unused_imports, reason = "what the signatures name")]
            use $crate::bug::signatures::*;
            impl<E: Element, $(const $param: usize),+> Bug<E> for $name<$($param),+> {
                fn defect(&self) -> &'static str {
                    $defect
                }
                $crate::bug::operation!($operation $($argument),+ => $body);
            }
        };
    };
}
pub(crate) use bug;

/// The method of [`Bug`](crate::hooks::Bug) of this name.
macro_rules! operation {
    (combine $op:pat_param, $a:pat_param, $b:pat_param => $body:expr) => {
        fn combine(&self, $op: ScalarOp, $a: f64, $b: f64) -> f64 {
            $body
        }
    };
    (known $value:pat_param => $body:expr) => {
        fn known(&self, $value: f64) -> Option<f64> {
            $body
        }
    };
    (zeros_stored $format:pat_param, $shape:pat_param => $body:expr) => {
        fn zeros_stored(&self, $format: SixteenBits, $shape: (usize, usize)) -> Result<DenseMatrix<E>> {
            $body
        }
    };
    (zeros $rows:pat_param, $cols:pat_param => $body:expr) => {
        fn zeros(&self, $rows: usize, $cols: usize) -> Result<DenseMatrix<E>> {
            $body
        }
    };
    (write $out:pat_param, $values:pat_param => $body:expr) => {
        fn write(&self, $out: &mut DenseMatrix<E>, $values: &[E]) -> Result<()> {
            $body
        }
    };
    (read $x:pat_param, $out:pat_param => $body:expr) => {
        fn read(&self, $x: &DenseMatrix<E>, $out: &mut [E]) -> Result<()> {
            $body
        }
    };
    (copy_from $out:pat_param, $x:pat_param => $body:expr) => {
        fn copy_from(&self, $out: &mut DenseMatrix<E>, $x: &DenseMatrix<E>) -> Result<()> {
            $body
        }
    };
    (entrywise $matrices:pat_param, $weights:pat_param, $rule:pat_param, $gradient:pat_param => $body:expr) => {
        fn entrywise(
            &self,
            $matrices: &mut [&mut DenseMatrix<E>],
            $weights: (f64, f64),
            $rule: Entrywise,
            $gradient: &Gradient<'_, DenseMatrix<E>>,
        ) -> Option<Result<()>> {
            $body
        }
    };
    (scale_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $x:pat_param => $body:expr) => {
        fn scale_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $x: &DenseMatrix<E>,
        ) -> Result<()> {
            $body
        }
    };
    (product_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $x:pat_param, $y:pat_param => $body:expr) => {
        fn product_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $x: &DenseMatrix<E>,
            $y: &DenseMatrix<E>,
        ) -> Result<()> {
            $body
        }
    };
    (quotient_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $x:pat_param, $y:pat_param, $eps:pat_param => $body:expr) => {
        fn quotient_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $x: &DenseMatrix<E>,
            $y: &DenseMatrix<E>,
            $eps: f64,
        ) -> Result<()> {
            $body
        }
    };
    (sign_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $x:pat_param => $body:expr) => {
        fn sign_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $x: &DenseMatrix<E>,
        ) -> Result<()> {
            $body
        }
    };
    (gemm $out:pat_param, $beta:pat_param, $alpha:pat_param, $a:pat_param, $op_a:pat_param, $b:pat_param, $op_b:pat_param => $body:expr) => {
        fn gemm(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $a: &DenseMatrix<E>,
            $op_a: Op,
            $b: &DenseMatrix<E>,
            $op_b: Op,
        ) -> Result<()> {
            $body
        }
    };
    (gemm_symmetric $out:pat_param, $beta:pat_param, $alpha:pat_param, $a:pat_param, $op_a:pat_param, $b:pat_param, $op_b:pat_param => $body:expr) => {
        fn gemm_symmetric(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $a: &DenseMatrix<E>,
            $op_a: Op,
            $b: &DenseMatrix<E>,
            $op_b: Op,
        ) -> Result<()> {
            $body
        }
    };
    (dot $x:pat_param, $y:pat_param => $body:expr) => {
        fn dot(&self, $x: &DenseMatrix<E>, $y: &DenseMatrix<E>) -> Result<f64> {
            $body
        }
    };
    (max_abs $x:pat_param => $body:expr) => {
        fn max_abs(&self, $x: &DenseMatrix<E>) -> Result<f64> {
            $body
        }
    };
    (adam_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $first:pat_param, $second:pat_param, $gradient:pat_param, $betas:pat_param, $eps:pat_param => $body:expr) => {
        fn adam_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $first: &mut DenseMatrix<E>,
            $second: &mut DenseMatrix<E>,
            $gradient: &DenseMatrix<E>,
            $betas: (f64, f64),
            $eps: f64,
        ) -> Result<()> {
            $body
        }
    };
    (factor_of_squares $scale:pat_param => $body:expr) => {
        fn factor_of_squares(&self, $scale: f64) -> Option<f64> {
            $body
        }
    };
    (entrywise_add $rule:pat_param => $body:expr) => {
        fn entrywise_add(&self, $rule: Entrywise) -> Entrywise {
            $body
        }
    };
    (power_sweep $m:pat_param, $update:pat_param, $alpha:pat_param, $v:pat_param, $p:pat_param, $gram:pat_param, $z:pat_param => $body:expr) => {
        fn power_sweep(
            &self,
            $m: &mut DenseMatrix<E>,
            $update: Option<(f64, &Gradient<'_, DenseMatrix<E>>)>,
            $alpha: f64,
            $v: &DenseMatrix<E>,
            $p: &mut DenseMatrix<E>,
            $gram: &mut DenseMatrix<E>,
            $z: &mut DenseMatrix<E>,
        ) -> Result<f64> {
            $body
        }
    };
    (low_rank_add $out:pat_param, $beta:pat_param, $alpha:pat_param, $x:pat_param, $left:pat_param, $right:pat_param => $body:expr) => {
        fn low_rank_add(
            &self,
            $out: &mut DenseMatrix<E>,
            $beta: Number<'_>,
            $alpha: Number<'_>,
            $x: &DenseMatrix<E>,
            $left: &DenseMatrix<E>,
            $right: &DenseMatrix<E>,
        ) -> Result<()> {
            $body
        }
    };
    (small_factor $out:pat_param, $factor:pat_param, $gram:pat_param, $scratch:pat_param => $body:expr) => {
        fn small_factor(
            &self,
            $out: &mut DenseMatrix<E>,
            $factor: SmallFactor,
            $gram: &DenseMatrix<E>,
            $scratch: &mut Scratch<E>,
        ) -> Result<Option<SmallInfo>> {
            $body
        }
    };
    (gram_schmidt $out:pat_param, $scratch:pat_param => $body:expr) => {
        fn gram_schmidt(&self, $out: &mut DenseMatrix<E>, $scratch: &mut Scratch<E>) -> Result<()> {
            $body
        }
    };
    (round_stochastic $x:pat_param, $format:pat_param, $seed:pat_param => $body:expr) => {
        fn round_stochastic(
            &self,
            $x: &mut DenseMatrix<E>,
            $format: SixteenBits,
            $seed: u64,
            _: &mut Scratch<E>,
        ) -> Result<()> {
            $body
        }
    };
    (seed_zero_columns $out:pat_param, $seed:pat_param, $scratch:pat_param => $body:expr) => {
        fn seed_zero_columns(
            &self,
            $out: &mut DenseMatrix<E>,
            $seed: u64,
            $scratch: &mut Scratch<E>,
        ) -> Result<()> {
            $body
        }
    };
}
pub(crate) use operation;
