//! Nobody's tensor changes but the one that is meant to.

mod outputs;

use crate::common::{host, random};
use candle_core::{DType, Device, Tensor, Var};
use spectra_candle::plan::Plan;
use spectra_candle::{CandleBackend, CandleMatrix, Config, Optimizer};
use spectra_core::backend::{Backend, Coefficient, Entrywise, Gradient, Matrix, Op, Result as CoreResult};
use spectra_core::linalg::Workspace;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn backends() -> [CandleBackend<f32>; 2] {
    [CandleBackend::new(&Device::Cpu), CandleBackend::by_tensor_operations(&Device::Cpu)]
}

/// A step of AdamW on `[X, M, V]`.
fn adam(
    matrices: [&mut CandleMatrix<f32>; 3],
    g: &CandleMatrix<f32>,
    backend: &CandleBackend<f32>,
) -> CoreResult<()> {
    let rule = Entrywise::Adam { betas: (0.9, 0.9), eps: 0.1, slow: None };
    let workspace = &mut Workspace::new(backend.clone());
    CandleBackend::entrywise_add(matrices, (1.0, 1.0), rule, &Gradient::new(g), workspace)
}

fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[test]
fn a_users_tensor_is_copied_before_the_first_write() -> TestResult {
    for backend in backends() {
        let tensor = random(1, &[3, 4])?;
        let (clone, before) = (tensor.clone(), numbers(&tensor)?);
        let one = Coefficient::ONE;
        for i in 0..6 {
            let mut matrix = backend.matrix(&tensor, (3, 4))?;
            let x = backend.matrix(&tensor, (3, 4))?;
            match i {
                0 => matrix.write(&[7.0; 12])?,
                1 => matrix.scale_add(one, one, &x)?,
                2 => matrix.product_add(one, one, &x, &x)?,
                3 => matrix.sign_add(one, one, &x)?,
                4 => matrix.gemm(one, one, &x, Op::Plain, &backend.zeros(4, 4, None)?, Op::Plain)?,
                _ => {
                    let (mut m, mut v) = (backend.matrix(&tensor, (3, 4))?, backend.zeros(3, 4, None)?);
                    adam([&mut matrix, &mut m, &mut v], &x, &backend)?;
                }
            }
            assert_eq!(numbers(&tensor)?, before, "operation {i}");
            assert_eq!(numbers(&clone)?, before, "operation {i}");
        }
    }
    Ok(())
}

#[test]
fn a_shared_matrix_is_copied_before_the_next_write() -> TestResult {
    for backend in backends() {
        let mut matrix = backend.upload(1, 3, &[1.0, 2.0, 3.0])?;
        let handed_out = matrix.share();
        matrix.write(&[7.0; 3])?;
        assert_eq!(numbers(&handed_out)?, [1.0, 2.0, 3.0]);
        assert_eq!(host(&matrix)?, [7.0; 3]);
        // Now sole owner again; and shared again.
        matrix.write(&[8.0; 3])?;
        let again = matrix.share();
        let x = backend.upload(1, 3, &[1.0; 3])?;
        matrix.scale_add(Coefficient::ONE, Coefficient::ONE, &x)?;
        assert_eq!(numbers(&again)?, [8.0; 3]);
        assert_eq!(numbers(&matrix.into_tensor())?, [9.0; 3]);
    }
    Ok(())
}

#[test]
fn a_clone_and_its_original_part_at_the_first_write() -> TestResult {
    for backend in backends() {
        for write_the_clone in [true, false] {
            let mut original = backend.upload(1, 2, &[1.0, 2.0])?;
            let mut clone = original.clone();
            let (changed, kept) =
                if write_the_clone { (&mut clone, &original) } else { (&mut original, &clone) };
            changed.write(&[7.0; 2])?;
            assert_eq!((host(changed)?, host(kept)?), (vec![7.0; 2], vec![1.0, 2.0]));
        }
    }
    Ok(())
}

#[test]
fn results_never_share_memory_with_operands() -> TestResult {
    for backend in backends() {
        let x = backend.upload(2, 2, &[1.0, 2.0, 3.0, -0.0])?;
        let mut copy = backend.zeros(2, 2, None)?;
        copy.copy_from(&x)?;
        assert!(host(&copy)?[3].is_sign_negative(), "a copy keeps -0");
        copy.write(&[5.0; 4])?;
        assert_eq!(host(&x)?, [1.0, 2.0, 3.0, 0.0]);
    }
    Ok(())
}

#[test]
fn a_variable_changes_in_place_for_everyone() -> TestResult {
    for backend in backends() {
        let var = Var::from_tensor(&random(1, &[2, 3, 2])?)?;
        let seen_by_the_model = var.as_tensor().clone();
        let mut matrix = backend.variable(&var, (2, 6))?;
        matrix.write(&[4.0; 12])?;
        backend.write_back(&matrix, &var)?;
        assert_eq!(numbers(&seen_by_the_model)?, [4.0; 12]);
        assert_eq!(numbers(&var)?, [4.0; 12]);
    }
    Ok(())
}

#[test]
fn a_gradient_in_the_variables_own_memory_is_read_as_it_was() -> TestResult {
    for backend in backends() {
        let var = Var::from_tensor(&random(1, &[3, 3])?)?;
        let before = numbers(&var)?;
        let mut weights = backend.variable(&var, (3, 3))?;
        let alias = backend.matrix(&var.as_detached_tensor(), (3, 3))?;
        weights.scale_add(Coefficient::ONE, (-0.5).into(), &alias)?;
        let expected: Vec<f32> = before.iter().map(|x| x * 0.5).collect();
        assert_eq!(numbers(&var)?, expected);
        // A product with the old weights: no entry may see a new one.
        let product = var.as_detached_tensor().matmul(&var.as_detached_tensor())?;
        weights.gemm(Coefficient::ZERO, Coefficient::ONE, &alias, Op::Plain, &alias, Op::Plain)?;
        let difference = (var.as_tensor() - product)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-6, "{difference}");
    }
    Ok(())
}

#[test]
fn one_variable_twice_is_refused_instead_of_waiting_for_itself() -> TestResult {
    let backend = CandleBackend::<f32>::new(&Device::Cpu);
    let var = Var::zeros((2, 2), DType::F32, &Device::Cpu)?;
    let (mut x, mut m) = (backend.variable(&var, (2, 2))?, backend.variable(&var, (2, 2))?);
    let (mut v, g) = (backend.zeros(2, 2, None)?, backend.zeros(2, 2, None)?);
    assert!(adam([&mut x, &mut m, &mut v], &g, &backend).is_err());
    Ok(())
}

#[test]
fn views_are_read_in_their_own_order() -> TestResult {
    for backend in backends() {
        let tensor = random(1, &[5, 6])?;
        let rows = tensor.to_vec2::<f32>()?;
        let check = |view: Tensor, expected: Vec<f32>| -> TestResult {
            let (m, n) = view.dims2()?;
            let matrix = backend.matrix(&view, (m, n))?;
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            assert_eq!(host(&matrix)?, expected);
            // And as an operand of an operation on memory.
            let mut copy = backend.zeros(m, n, None)?;
            copy.copy_from(&matrix)?;
            assert_eq!(host(&copy)?, expected);
            Ok(())
        };
        check(tensor.t()?, (0..6).flat_map(|j| rows.iter().map(move |r| r[j])).collect())?;
        check(tensor.narrow(0, 1, 3)?, rows[1..4].concat())?;
        check(tensor.narrow(1, 2, 3)?, rows.iter().flat_map(|r| r[2..5].to_vec()).collect())?;
        check(tensor.narrow(0, 4, 1)?.narrow(1, 3, 2)?, rows[4][3..5].to_vec())?;
        check(tensor.narrow(0, 0, 1)?.broadcast_as((3, 6))?, rows[0].repeat(3))?;
    }
    Ok(())
}

#[test]
fn a_narrowed_view_is_copied_before_a_write_too() -> TestResult {
    let tensor = random(1, &[5, 2])?;
    let before = numbers(&tensor)?;
    let backend = CandleBackend::<f32>::new(&Device::Cpu);
    let mut matrix = backend.matrix(&tensor.narrow(0, 2, 2)?, (2, 2))?;
    matrix.scale_add(2.0.into(), Coefficient::ZERO, &backend.zeros(2, 2, None)?)?;
    let expected: Vec<f64> = before[4..8].iter().map(|x| 2.0 * f64::from(*x)).collect();
    assert_eq!((host(&matrix)?, numbers(&tensor)?), (expected, before));
    Ok(())
}

/// Round to nearest, ties to even, of a finite number.
fn nearest_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

#[test]
fn half_precision_is_widened_and_rounded_once() -> TestResult {
    for backend in backends() {
        for dtype in [DType::BF16, DType::F16] {
            let var = Var::from_tensor(&random(1, &[4, 4])?.to_dtype(dtype)?)?;
            let exact = numbers(&var.to_dtype(DType::F32)?)?;
            let mut matrix = backend.variable(&var, (4, 4))?;
            assert_eq!(host(&matrix)?, exact.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            let thousandth = backend.upload(4, 4, &[1e-3; 16])?;
            matrix.scale_add(Coefficient::ONE, Coefficient::ONE, &thousandth)?;
            let widened = format!("{backend:?}").contains("tensor_operations: true");
            if widened {
                assert_eq!(numbers(&var.to_dtype(DType::F32)?)?, exact, "{dtype:?}: changed too early");
            }
            backend.write_back(&matrix, &var)?;
            let exact: Vec<f32> = exact.iter().map(|x| x + 1e-3).collect();
            let rounded = match dtype {
                DType::BF16 => exact.iter().map(|x| nearest_bf16(*x)).collect(),
                _ => numbers(
                    &Tensor::from_vec(exact, 16, &Device::Cpu)?.to_dtype(dtype)?.to_dtype(DType::F32)?,
                )?,
            };
            assert_eq!(numbers(&var.to_dtype(DType::F32)?)?, rounded, "{dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> TestResult {
    let backend = CandleBackend::<f32>::new(&Device::Cpu);
    assert!(backend.matrix(&Tensor::zeros((2, 2), DType::F64, &Device::Cpu)?, (2, 2)).is_err());
    assert!(backend.matrix(&Tensor::zeros((2, 2), DType::U32, &Device::Cpu)?, (2, 2)).is_err());
    assert!(backend.matrix(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?, (2, 3)).is_err());
    assert!(backend.matrix(&Tensor::zeros((0, 2), DType::F32, &Device::Cpu)?, (0, 0)).is_ok());
    Ok(())
}

#[test]
fn gradients_do_not_keep_the_graph_alive() -> TestResult {
    // A matrix from a tensor with a history computes without one: else every step would hold the steps before.
    let var = Var::from_tensor(&random(1, &[2, 2])?)?;
    let loss = var.sqr()?;
    let backend = CandleBackend::<f32>::by_tensor_operations(&Device::Cpu);
    let mut out = backend.zeros(2, 2, None)?;
    out.copy_from(&backend.matrix(&loss, (2, 2))?)?;
    out.copy_from(&backend.variable(&var, (2, 2))?)?;
    assert!(out.into_tensor().sum_all()?.backward()?.get(&var).is_none());
    Ok(())
}

/// The gradient of a product may be the other factor itself, in its memory.
#[test]
fn a_gradient_in_a_variables_memory_is_what_it_was_before_the_step() -> TestResult {
    let train = |aliased: bool| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let vars: Vec<Var> = [1, 2]
            .map(|seed| Var::from_tensor(&random(seed, &[8, 6])?))
            .into_iter()
            .collect::<Result<_, _>>()?;
        let [a, b] = &vars[..] else { unreachable!() };
        let named = [("a.weight".to_owned(), a.clone()), ("b.weight".to_owned(), b.clone())];
        let mut optimizer =
            Optimizer::from_named_vars(named, Config::preset("spectra")?.lr(0.1), &Plan::builder())?;
        let mut gradients = Tensor::zeros((), DType::F32, &Device::Cpu)?.backward()?;
        gradients.insert(a, random(3, &[8, 6])?);
        gradients.insert(
            b,
            if aliased { a.as_detached_tensor() } else { a.as_detached_tensor().force_contiguous()? },
        );
        optimizer.try_step(&gradients)?;
        numbers(b).map_err(Into::into)
    };
    assert_eq!(train(true)?, train(false)?);
    Ok(())
}
