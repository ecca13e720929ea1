//! The variables of a model: named, in a fixed order, checked.

use candle_core::{DType, Device, Var};
use candle_nn::VarMap;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::SixteenBits;
use std::collections::HashSet;
use std::sync::PoisonError;

const OPERATION: &str = "optimizer";

/// Variables with their names.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) named: Vec<(String, Var)>,
    pub(super) device: Device,
    /// Whether one of them is f64: then the arithmetic is, for all.
    pub(super) double: bool,
}

impl Variables {
    /// Those of a `VarMap`, sorted by name: its own order changes from run to run.
    pub(super) fn of_map(varmap: &VarMap) -> Vec<(String, Var)> {
        let data = varmap.data().lock().unwrap_or_else(PoisonError::into_inner);
        let mut named: Vec<_> = data.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    }

    /// Variables without names: `var.0`, `var.1`, ...
    pub(super) fn unnamed(vars: Vec<Var>) -> Vec<(String, Var)> {
        vars.into_iter().enumerate().map(|(i, var)| (format!("var.{i}"), var)).collect()
    }

    /// Drops integer variables, as candle's optimizers do, and checks the others.
    pub(super) fn new(named: impl IntoIterator<Item = (String, Var)>) -> Result<Self> {
        let named: Vec<_> = named.into_iter().filter(|(_, var)| var.dtype().is_float()).collect();
        let device = named.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        let mut ids = HashSet::new();
        let mut double = false;
        for (name, var) in &named {
            let refuse = |what| Error::new(OPERATION, ErrorKind::Unsupported { what }).for_parameter(name);
            match var.dtype() {
                DType::BF16 | DType::F16 | DType::F32 => {}
                DType::F64 => double = true,
                _ => return Err(refuse("a type other than f32, f64, bf16 and f16")),
            }
            if !var.device().same_device(&device) {
                return Err(refuse("a model on several devices"));
            }
            if !ids.insert(var.id()) {
                let reason = "is a second name of a variable that has one: it would be updated twice";
                return Err(Error::new(OPERATION, ErrorKind::Name { name: name.as_str().into(), reason }));
            }
        }
        Ok(Self { named, device, double })
    }
}

/// The 16-bit type that this is.
pub(super) fn sixteen_bits(dtype: DType) -> Option<SixteenBits> {
    match dtype {
        DType::BF16 => Some(SixteenBits::Bf16),
        DType::F16 => Some(SixteenBits::F16),
        _ => None,
    }
}
