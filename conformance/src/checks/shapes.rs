//! Operands that do not fit are refused, and nothing is changed.

use spectra_core::backend::{Backend, Coefficient, Element, Error, ErrorKind, Fused, Gradient, Matrix, Op};
use spectra_core::linalg::{PowerIteration, Scratch, SmallFactor};

use super::fused::{Factor, RULES, entrywise};
use crate::HostMatrix;
use crate::distance::same_bits;
use crate::suite::{Failure, Judge, Outcome, Subject};

const M: usize = 3;
const N: usize = 4;
const K: usize = 2;

/// Shapes that an M x N operand must not have; two of them have as many entries.
const NOT_M_BY_N: [(usize, usize); 5] = [(M, N + 1), (M - 1, N), (N, M), (M * N, 1), (0, 0)];

/// Every operation with one operand of a wrong shape.
///
/// Finds: a check of the number of entries only, a panic, an error of another kind, silent broadcasting.
pub fn shape_errors<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut refuse = Refusals { subject, judge: &mut judge };
    let (half, one) = (Coefficient::from(0.5), Coefficient::ONE);

    for bad in NOT_M_BY_N {
        let good = (M, N);
        refuse.call("scale_add", &[good], &[bad], |out, x| out[0].scale_add(half, one, &x[0]))?;
        refuse.call("sign_add", &[good], &[bad], |out, x| out[0].sign_add(half, one, &x[0]))?;
        refuse.call("copy_from", &[good], &[bad], |out, x| out[0].copy_from(&x[0]))?;
        refuse.call("dot", &[good], &[bad], |out, x| out[0].dot(&x[0]).map(drop))?;
        for operands in [[bad, good], [good, bad]] {
            refuse.call("product_add", &[good], &operands, |out, x| {
                out[0].product_add(half, one, &x[0], &x[1])
            })?;
            refuse.call("quotient_add", &[good], &operands, |out, x| {
                out[0].quotient_add(half, one, &x[0], &x[1], 1e-8)
            })?;
        }
    }

    // op_a, op_b, shapes of A and B: an inner or an outer extent that does not fit M x N.
    let products = [
        (Op::Plain, Op::Plain, (M, K), (K + 1, N)),
        (Op::Plain, Op::Plain, (M + 1, K), (K, N)),
        (Op::Plain, Op::Plain, (M, K), (K, N + 1)),
        (Op::Plain, Op::Plain, (N, K), (K, M)),
        (Op::Plain, Op::Plain, (K, M), (K, N)),
        (Op::Transposed, Op::Plain, (M, K), (K, N)),
        (Op::Plain, Op::Transposed, (M, K), (K, N)),
        (Op::Transposed, Op::Transposed, (M, K), (K, N)),
        (Op::Transposed, Op::Transposed, (K, M), (N, K + 1)),
    ];
    for (op_a, op_b, a, b) in products {
        let name = format!("gemm {op_a:?} {op_b:?}");
        refuse.call(&name, &[(M, N)], &[a, b], |out, x| out[0].gemm(half, one, &x[0], op_a, &x[1], op_b))?;
    }
    for (target, a) in [((K, K), (M, N)), ((M, M), (M, N))] {
        refuse.call("gemm_symmetric", &[target], &[a, a], |out, x| {
            out[0].gemm_symmetric(half, one, &x[0], Op::Transposed, &x[1], Op::Plain)
        })?;
    }

    for (target, gram) in [((K, K), (K + 1, K + 1)), ((K, K + 1), (K, K + 1)), ((M, M), (K, K))] {
        for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer]
        {
            refuse.call("small_factor", &[target], &[gram], |out, x| {
                out[0].small_factor(factor, &x[0], &mut Scratch::new()).map(drop)
            })?;
        }
    }
    judge.finish()
}

/// Every fused operation with one operand of a wrong shape: no output has changed.
///
/// Finds: a check that comes after the first part of the operation was done, a rule with too few matrices.
pub fn shape_errors_of_fused<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut refuse = Refusals { subject, judge: &mut judge };
    let (half, one) = (Coefficient::from(0.5), Coefficient::ONE);

    // An output that is not read has to be right as well.
    for beta in [half, Coefficient::ZERO] {
        for bad in NOT_M_BY_N {
            let good = (M, N);
            refuse.call("low_rank_add", &[good], &[bad, (M, K), (N, K)], |out, x| {
                out[0].low_rank_add(beta, one, &x[0], &x[1], &x[2])
            })?;
            for (outputs, gradient) in
                [([good, bad, good], good), ([good, good, bad], good), ([good; 3], bad)]
            {
                refuse.call("adam_add", &outputs, &[gradient], |out, x| {
                    let [weights, first, second] = out else { unreachable!("three outputs") };
                    weights.adam_add(beta, one, first, second, &x[0], (0.9, 0.99), 1e-8)
                })?;
            }
        }
        for (left, right) in [((N, K), (N, K)), ((M, K), (M, K)), ((M, K), (N, K + 1)), ((K, M), (K, N))] {
            refuse.call("low_rank_add", &[(M, N)], &[(M, N), left, right], |out, x| {
                out[0].low_rank_add(beta, one, &x[0], &x[1], &x[2])
            })?;
        }
    }

    // self, P, gram, Z and then V, gradient; each list has one shape that does not fit.
    let fitting = ([(M, N), (M, K), (K, K), (N, K)], [(N, K), (M, N)]);
    let wrong = |position: usize, shape| {
        let (mut outputs, mut operands) = fitting;
        if position < 4 {
            outputs[position] = shape
        } else {
            operands[position - 4] = shape
        }
        (outputs, operands)
    };
    let misfits =
        [(1, (N, K)), (1, (M, K + 1)), (2, (K, K + 1)), (2, (K + 1, K + 1)), (3, (M, K)), (3, (N, K + 1))];
    for (position, shape) in
        misfits.into_iter().chain([(4, (M, K)), (4, (N + 1, K)), (5, (N, M)), (5, (M, N + 1))])
    {
        let (outputs, operands) = wrong(position, shape);
        refuse.call("power_sweep", &outputs, &operands, |out, x| {
            let [m, p, gram, z] = out else { unreachable!("four outputs") };
            m.power_sweep(Some((0.5, &Gradient::new(&x[1]))), 1.0, &x[0], p, gram, z).map(drop)
        })?;
    }
    for (v, gradient) in [((N + 1, K), (M, N)), ((M, K), (M, N)), ((N, K), (N, M)), ((N, K), (M + 1, N))] {
        refuse.call("power_iteration", &[(M, N), v], &[gradient], |out, x| {
            let [m, v] = out else { unreachable!("two outputs") };
            let update = Some((0.5, &Gradient::new(&x[0])));
            PowerIteration::default().iterate(m, update, v, &mut subject.workspace()).map(drop)
        })?;
    }
    judge.finish()
}

/// Every entrywise rule with one matrix of a wrong shape, and with other numbers of matrices: no matrix has changed.
///
/// Finds: a state that has advanced before the next one's shape is looked at, a rule that checks less than the others.
pub fn shape_errors_of_rules<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut refuse = Refusals { subject, judge: &mut judge };
    for (rule, beta) in RULES.into_iter().flat_map(|rule| [(rule, 0.5), (rule, 0.0)]) {
        let (name, count) = (format!("entrywise_add, {rule:?}, beta = {beta}"), rule.matrices());
        let mut call = |outputs: &[(usize, usize)], gradient: (usize, usize)| {
            refuse.call(&name, outputs, &[gradient], |out, x| {
                entrywise(subject, out, (beta, 1.0), rule, &x[0], &Factor::none())
            })
        };
        for (bad, position) in NOT_M_BY_N.into_iter().flat_map(|bad| (0..count).map(move |at| (bad, at))) {
            let mut outputs = vec![(M, N); count];
            outputs[position] = bad;
            call(&outputs, (M, N))?;
        }
        for bad in NOT_M_BY_N {
            call(&vec![(M, N); count], bad)?;
        }
        for wrong in (0..=5).filter(|wrong| *wrong != count) {
            call(&vec![(M, N); wrong], (M, N))?;
        }
    }
    judge.finish()
}

/// `upload`, `write` and `read` with slices of a wrong length.
///
/// Finds: a slice that is cut or padded, a panic of the copy.
pub fn length_errors<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let original = subject.random("length", M, N);
    for length in [0, 1, M * N - 1, M * N + 1, 2 * M * N] {
        let mut values = vec![B::Element::narrow(7.0); length];
        let mut matrix = subject.upload(&original)?;
        require_shape_error(&mut judge, "upload", subject.backend().upload(M, N, &values).map(drop))?;
        require_shape_error(&mut judge, "write", matrix.write(&values))?;
        require_shape_error(&mut judge, "read", matrix.read(&mut values))?;
        let unchanged = same_bits(&subject.download(&matrix)?, &original);
        judge.require(unchanged, format_args!("a refused write of {length} numbers changes nothing"))?;
        let untouched = values.iter().all(|value| value.widen() == 7.0);
        judge.require(untouched, format_args!("a refused read of {length} numbers writes nothing"))?;
    }
    judge.finish()
}

fn require_shape_error(judge: &mut Judge, operation: &str, result: Result<(), Error>) -> Result<(), Failure> {
    match result {
        Ok(()) => judge.require(false, format_args!("{operation} accepts what does not fit")),
        Err(error) => {
            let is_shape = matches!(error.kind(), ErrorKind::Shape { .. });
            judge.require(is_shape, format_args!("{operation} refuses with a shape error, not: {error}"))
        }
    }
}

struct Refusals<'a, B: Backend> {
    subject: &'a Subject<B>,
    judge: &'a mut Judge,
}

impl<B: Backend> Refusals<'_, B> {
    /// Requires that `operation` on matrices of these shapes is refused and leaves every output as it was.
    fn call(
        &mut self,
        operation: &str,
        outputs: &[(usize, usize)],
        operands: &[(usize, usize)],
        apply: impl FnOnce(&mut [B::Matrix], &[B::Matrix]) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let name = format!("{operation} of outputs {outputs:?} and operands {operands:?}");
        let values = |shapes: &[(usize, usize)], label: &str| -> Vec<HostMatrix> {
            let abs = |&(rows, cols): &(usize, usize)| self.subject.random(label, rows, cols).map(f64::abs);
            shapes.iter().map(abs).collect()
        };
        let (before, inputs) = (values(outputs, "output"), values(operands, "operand"));
        let upload = |matrices: &[HostMatrix]| -> Result<Vec<B::Matrix>, Failure> {
            matrices.iter().map(|matrix| self.subject.upload(matrix)).collect()
        };
        let (mut device_outputs, device_inputs) = (upload(&before)?, upload(&inputs)?);
        require_shape_error(self.judge, &name, apply(&mut device_outputs, &device_inputs))?;
        for (index, (device, before)) in device_outputs.iter().zip(&before).enumerate() {
            let unchanged = same_bits(&self.subject.download(device)?, before);
            self.judge
                .require(unchanged, format_args!("a refused {name} leaves output {index} as it was"))?;
        }
        Ok(())
    }
}
