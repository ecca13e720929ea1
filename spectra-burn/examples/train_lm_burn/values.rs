//! Values of named parameters, rows = output features; burn's `Linear` stores them transposed.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use spectra_examples::Failure;

struct Each<'a> {
    gradients: Option<&'a GradientsParams>,
    wanted: &'a dyn Fn(&str) -> bool,
    path: Vec<String>,
    in_linear: Vec<bool>,
    found: Vec<Result<(String, Vec<f32>), Failure>>,
}

/// Name and values of the parameters that are wanted, or of their gradients, in the order of the module.
pub(crate) fn values<M: Module>(
    module: &M,
    gradients: Option<&GradientsParams>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Vec<f32>)>, Failure> {
    let (path, in_linear, found) = Default::default();
    let mut each = Each { gradients, wanted: &wanted, path, in_linear, found };
    module.visit(&mut each);
    each.found.into_iter().collect()
}

/// The values of one matrix, or of its gradient.
pub(crate) fn matrix<M: Module>(
    module: &M,
    gradients: Option<&GradientsParams>,
    name: &str,
) -> Result<Vec<f32>, Failure> {
    let found = values(module, gradients, |other| other == name)?.pop();
    found.map(|(_, values)| values).ok_or_else(|| Failure::run(format!("{name} has no such values")))
}

impl ModuleVisitor for Each<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.in_linear.push(container == "Struct:Linear");
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.in_linear.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if !(self.wanted)(&name) {
            return;
        }
        let value = match self.gradients {
            Some(gradients) => gradients.get::<D>(param.id),
            None => Some(param.val().inner()),
        };
        let Some(value) = value else { return };
        let value = if self.in_linear.last() == Some(&true) { value.swap_dims(0, 1) } else { value };
        self.found.push(value.try_into_vec_as().map(|values| (name, values)).map_err(Failure::run));
    }
}
