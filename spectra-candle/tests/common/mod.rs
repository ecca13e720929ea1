//! What several of these tests need.
#![allow(dead_code)]

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use spectra_candle::{CandleBackend, CandleElement, CandleMatrix};
use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use std::collections::BTreeMap;

/// Pseudo-random numbers in [-1, 1), the same on every machine.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f64> {
    (0..len).map(|i| spectra_core::linalg::uniform(seed, i, 0)).collect()
}

/// The same random matrix on candle and on the reference backend.
pub(crate) fn pair<E: CandleElement>(
    backend: &CandleBackend<E>,
    seed: u64,
    (rows, cols): (usize, usize),
) -> Result<(CandleMatrix<E>, DenseMatrix<E>)> {
    let values: Vec<E> = values(seed, rows * cols).into_iter().map(E::narrow).collect();
    Ok((backend.upload(rows, cols, &values)?, Dense::new().upload(rows, cols, &values)?))
}

/// The values of any matrix, in f64.
pub(crate) fn host<M: Matrix>(matrix: &M) -> Result<Vec<f64>> {
    use spectra_core::backend::Element;
    let (rows, cols) = matrix.shape();
    let mut out = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut out)?;
    Ok(out.into_iter().map(Element::widen).collect())
}

/// `||a - b|| / max(||b||, 1)`, NaN if either holds one.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    difference.sqrt() / norm.sqrt().max(1.0)
}

/// A small model of every kind of variable, in one type.
pub(crate) fn model(dtype: DType) -> candle_core::Result<VarMap> {
    let varmap = VarMap::new();
    let shapes: [(&str, &[usize]); 6] = [
        ("embed.weight", &[11, 6]),
        ("layers.0.mlp.up.weight", &[12, 8]),
        ("layers.0.norm.weight", &[8]),
        ("layers.1.conv.weight", &[4, 3, 2]),
        ("layers.1.mlp.down.weight", &[8, 12]),
        ("scale", &[]),
    ];
    for (i, (name, shape)) in shapes.into_iter().enumerate() {
        varmap.get(shape, name, candle_nn::init::ZERO, dtype, &Device::Cpu)?;
        let var = varmap.data().lock().unwrap().get(name).cloned().unwrap();
        var.set(&random(i as u64, shape)?.to_dtype(dtype)?)?;
    }
    Ok(varmap)
}

/// A random f32 tensor with entries in [-1, 1).
pub(crate) fn random(seed: u64, shape: &[usize]) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = values(seed, shape.iter().product()).iter().map(|x| *x as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The variables by name.
pub(crate) fn vars(varmap: &VarMap) -> BTreeMap<String, Var> {
    varmap.data().lock().unwrap().clone().into_iter().collect()
}

/// Random gradients of step `step`, the same for equal names, shapes and steps: those of a linear loss.
pub(crate) fn gradients(varmap: &VarMap, step: u64) -> candle_core::Result<GradStore> {
    let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu)?;
    for (i, var) in vars(varmap).values().enumerate() {
        let coefficients = random(1000 * step + i as u64, var.dims())?.to_dtype(var.dtype())?;
        loss = (loss + var.as_tensor().mul(&coefficients)?.sum_all()?.to_dtype(DType::F64)?)?;
    }
    loss.backward()
}

/// The bits of every variable, as f64.
pub(crate) fn weights(varmap: &VarMap) -> candle_core::Result<BTreeMap<String, Vec<u64>>> {
    let bits = |var: &Var| -> candle_core::Result<Vec<u64>> {
        let values = var.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        Ok(values.into_iter().map(f64::to_bits).collect())
    };
    vars(varmap).iter().map(|(name, var)| Ok((name.clone(), bits(var)?))).collect()
}
