//! The parameters of a module, with their names and how they are stored.

use super::Orientation;
use super::layout::Layout;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
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
    pub(super) layout: Layout,
    /// The place of the parameter that it adapts, for a factor of burn's LoRA.
    adapts: Option<usize>,
}

impl Found {
    /// The shape with output features first.
    pub(super) fn out_by_in(&self) -> Vec<usize> {
        self.layout.out_by_in(&self.shape)
    }
}

/// The float parameters of a module in its order, stored as `layouts` say, the last one that matches, or as burn's own
/// modules store theirs.
///
/// # Errors
/// A parameter under two names: burn steps the first of them only, and the two would drift apart. A group that matches no
/// parameter.
pub(super) fn parameters<M: Module>(module: &M, layouts: &[(ParamGroup, Orientation)]) -> Result<Vec<Found>> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    if let Some(error) = collector.error {
        return Err(error);
    }
    let mut found = collector.found;
    let mut said = vec![false; found.len()];
    for (group, orientation) in layouts {
        let mut any = false;
        for (one, said) in found.iter_mut().zip(&mut said) {
            if group.matches(&one.id, Some(&one.name)) {
                one.layout = stored(*orientation, one);
                (any, *said) = (true, true);
            }
        }
        if !any {
            let name = format!("{group:?}").into();
            let reason = "is a group of `layouts` that matches no parameter";
            return Err(Error::new("parameters", ErrorKind::Name { name, reason }));
        }
    }
    // Delta = A B has the layout of the weight it is added to, and so have its factors.
    for index in 0..found.len() {
        if let (false, Some(base)) = (said[index], found[index].adapts) {
            found[index].layout = found[base].layout;
        }
    }
    Ok(found)
}

/// The layout of a parameter of which the user says how it is stored.
fn stored(orientation: Orientation, found: &Found) -> Layout {
    match (orientation, found.shape.len(), found.layout) {
        (Orientation::OutByIn, ..) | (_, 0 | 1, _) => Layout::OutByIn,
        (Orientation::InByOut, 2, _) => Layout::InByOut,
        (_, _, known @ Layout::InByOutByKernel { .. }) => known,
        _ => Layout::InByOutByKernel { groups: 1 },
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    containers: Vec<String>,
    found: Vec<Found>,
    error: Option<Error>,
}

impl Collector {
    /// How burn's own modules store their parameters: all others are `out x in`.
    fn layout(&self, rank: usize) -> Layout {
        let container = self.containers.last().map_or("", String::as_str);
        let is_weight = self.path.last().is_some_and(|name| name == "weight");
        match (container, rank) {
            ("Struct:Linear", 2) if is_weight => Layout::InByOut,
            ("Struct:ConvTranspose1d", 3) | ("Struct:ConvTranspose2d", 4) | ("Struct:ConvTranspose3d", 5)
                if is_weight =>
            {
                Layout::InByOutByKernel { groups: 1 }
            }
            _ => Layout::OutByIn,
        }
    }

    /// The place of the parameter that the one visited now adapts.
    fn adapted(&self) -> Option<usize> {
        let is_factor = self.containers.last().is_some_and(|container| container == "Struct:LoraAdapter");
        let base = self.path.len().checked_sub(2).filter(|_| is_factor)?;
        let base = self.path[..base].join(".");
        self.found.iter().position(|found| found.name == base)
    }

    /// The bias tells what the weight beside it does not: how many output features there are.
    fn learn_from_bias(&mut self, outputs: usize) {
        let Some((last, parents)) = self.path.split_last() else { return };
        let weight = [parents, &["weight".to_owned()]].concat().join(".");
        if last != "bias" {
            return;
        }
        let Some(weight) = self.found.iter_mut().find(|found| found.name == weight) else { return };
        match (weight.layout, weight.shape.as_slice()) {
            // Another module of that name, stored the other way.
            (Layout::InByOut, [first, second]) if *second != outputs && *first == outputs => {
                weight.layout = Layout::OutByIn;
            }
            (Layout::InByOutByKernel { .. }, [inputs, group, ..])
                if *group > 0 && outputs % group == 0 && outputs > 0 && inputs % (outputs / group) == 0 =>
            {
                weight.layout = Layout::InByOutByKernel { groups: outputs / group };
            }
            _ => {}
        }
    }
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
        let shape = value.dims().to_vec();
        if let [outputs] = shape[..] {
            self.learn_from_bias(outputs);
        }
        self.found.push(Found {
            id: param.id,
            name: self.path.join("."),
            dtype: value.dtype(),
            layout: self.layout(D),
            adapts: self.adapted(),
            shape,
        });
    }
}
