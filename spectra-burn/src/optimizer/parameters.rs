//! The parameters of a module, with their names.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Result};

/// A parameter as the module has it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: ParamId,
    /// Its path, `layers.0.mlp.up.weight`.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    /// The weight of burn's `Linear`, stored `in x out`.
    pub(super) is_linear: bool,
}

impl Found {
    /// The shape with output features first.
    pub(super) fn out_by_in(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.is_linear {
            shape.reverse();
        }
        shape
    }
}

/// The float parameters of a module in its order.
///
/// # Errors
/// A parameter under two names: burn steps the first of them only, and the two would drift apart.
pub(super) fn parameters<M: Module>(module: &M) -> Result<Vec<Found>> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.error.map_or(Ok(collector.found), Err)
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    containers: Vec<String>,
    found: Vec<Found>,
    error: Option<Error>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push(name.to_owned());
        self.containers.push(container_type.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.containers.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.iter().any(|found| found.id == param.id) {
            let name = self.path.join(".").into();
            let reason = "is an earlier parameter under a second name";
            self.error.get_or_insert(Error::new("parameters", ErrorKind::Name { name, reason }));
            return;
        }
        let value = param.val();
        let in_linear = self.containers.last().is_some_and(|container| container == "Struct:Linear");
        self.found.push(Found {
            id: param.id,
            name: self.path.join("."),
            shape: value.dims().to_vec(),
            dtype: value.dtype(),
            is_linear: D == 2 && in_linear,
        });
    }
}
