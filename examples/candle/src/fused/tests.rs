//! Each fused operation and its derivatives against candle's own operations.

use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops::softmax;
use candle_nn::rotary_emb::rope_slow;
use spectra_examples::ModelSizes;
use spectra_examples::model::NORM_EPSILON;

use super::*;

const SIZES: ModelSizes = ModelSizes { layers: 1, width: 24, hidden: 40, heads: 3, context: 10 };
const SEQUENCES: usize = 3;
const ROWS: usize = SEQUENCES * 10;

fn noise(shape: &[usize], seed: u32) -> Result<Var> {
    let count = shape.iter().product::<usize>() as u32;
    let value =
        |i: u32| ((i.wrapping_add(seed * 977).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0) - 1.0;
    let values: Vec<_> = (0..count).map(value).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Relative distance in the Frobenius norm.
fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    let norm = |x: &Tensor| x.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>();
    Ok(norm(&(a - b)?)? / norm(b)?)
}

/// Compares values and the derivatives of their product with fixed weights.
fn agree(
    arguments: &[Var],
    fused: impl Fn(&[Var]) -> Result<Tensor>,
    plain: impl Fn(&[Var]) -> Result<Tensor>,
) -> Result<()> {
    let (fused, plain) = (fused(arguments)?, plain(arguments)?);
    assert!(distance(&fused, &plain)? < 1e-6, "the values differ by {}", distance(&fused, &plain)?);
    let weights = noise(fused.dims(), 99)?.as_detached_tensor();
    let fused = (fused * &weights)?.sum_all()?.backward()?;
    let plain = (plain * &weights)?.sum_all()?.backward()?;
    for (number, argument) in arguments.iter().enumerate() {
        let (Some(fused), Some(plain)) = (fused.get(argument), plain.get(argument)) else {
            panic!("argument {number} has no derivative")
        };
        let distance = distance(fused, plain)?;
        assert!(distance < 3e-6, "the derivatives of argument {number} differ by {distance}");
    }
    Ok(())
}

#[test]
fn linear_agrees() -> Result<()> {
    let arguments = [noise(&[ROWS, 24], 1)?, noise(&[40, 24], 2)?];
    agree(&arguments, |a| linear(&a[0], &a[1]), |a| a[0].matmul(&a[1].t()?))
}

#[test]
fn rms_norm_agrees() -> Result<()> {
    let arguments = [noise(&[200, 24], 1)?, noise(&[24], 2)?];
    agree(
        &arguments,
        |a| rms_norm(&a[0], &a[1]),
        |a| {
            let mean_square = a[0].sqr()?.mean_keepdim(D::Minus1)?;
            a[0].broadcast_div(&(mean_square + NORM_EPSILON)?.sqrt()?)?.broadcast_mul(&a[1])
        },
    )
}

#[test]
fn swiglu_agrees() -> Result<()> {
    let arguments = [noise(&[ROWS, 40], 1)?, noise(&[ROWS, 40], 2)?];
    agree(&arguments, |a| swiglu(&a[0], &a[1]), |a| a[0].silu()? * a[1].as_tensor())
}

#[test]
fn rotary_agrees() -> Result<()> {
    let rotary = Rotary::new(&SIZES);
    let (length, half) = (SIZES.context, SIZES.head_width() / 2);
    let angle = |i: usize| ((i / half) as f64) * 10_000f64.powf(-((i % half) as f64) / half as f64);
    let table = |f: fn(f64) -> f64| {
        let values: Vec<_> = (0..length * half).map(|i| f(angle(i)) as f32).collect();
        Tensor::from_vec(values, (length, half), &Device::Cpu)
    };
    let (cosines, sines) = (table(f64::cos)?, table(f64::sin)?);
    let plain = |a: &[Var]| {
        let heads = apart(&a[0])?.contiguous()?;
        together(&rope_slow(&heads, &cosines, &sines)?)
    };
    agree(&[noise(&[ROWS, 24], 1)?], |a| rotary.apply(&a[0], length), plain)
}

#[test]
fn causal_attention_agrees() -> Result<()> {
    let length = SIZES.context;
    let hidden: Vec<_> =
        (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 }).collect();
    let mask = Tensor::from_vec(hidden, (length, length), &Device::Cpu)?;
    let plain = |a: &[Var]| {
        let (q, k, v) =
            (apart(&a[0])?.contiguous()?, apart(&a[1])?.contiguous()?, apart(&a[2])?.contiguous()?);
        let scores = (q.matmul(&k.t()?.contiguous()?)? * (1.0 / (SIZES.head_width() as f64).sqrt()))?;
        together(&softmax(&scores.broadcast_add(&mask)?, D::Minus1)?.matmul(&v)?)
    };
    let arguments = [noise(&[ROWS, 24], 1)?, noise(&[ROWS, 24], 2)?, noise(&[ROWS, 24], 3)?];
    agree(&arguments, |a| causal_attention(&a[0], &a[1], &a[2], SIZES.heads, length), plain)
}

#[test]
fn cross_entropy_agrees() -> Result<()> {
    let targets: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 50).collect();
    let expected = Tensor::new(targets.as_slice(), &Device::Cpu)?;
    let plain = |a: &[Var]| candle_nn::loss::cross_entropy(&a[0], &expected);
    agree(&[noise(&[ROWS, 50], 1)?], |a| cross_entropy(&a[0], &targets), plain)?;
    assert!(cross_entropy(noise(&[ROWS, 49], 1)?.as_tensor(), &targets).is_err());
    Ok(())
}

fn apart(x: &Tensor) -> Result<Tensor> {
    x.reshape((SEQUENCES, SIZES.context, SIZES.heads, SIZES.head_width()))?.transpose(1, 2)
}

fn together(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.contiguous()?.reshape((ROWS, SIZES.width))
}
