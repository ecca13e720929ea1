//! A step of a module whose gradients were found on several devices.

use super::hybrid::Member;
use super::layout::flat;
use super::present::place_of;
use super::{Hybrid, Refused};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, MultiGradientsParams};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Result};

impl Hybrid {
    /// [`step`](Self::step) with the gradients of several devices, as burn's `ModuleOptimizer::step_multi`: those of a parameter are
    /// **added**, not averaged, on a device that follows from its id, and it stays there with its state until it is moved: the next
    /// step moves both back, and [`fork`](Module::fork) the parameters to where the next gradients are to be found.
    ///
    /// Finite check, clips and [`gradient_norm`](Self::gradient_norm) see the sums of all parameters on all devices. A parameter
    /// without a gradient on some of the devices takes the sum of the others; [missing](Self::missing_gradients) are those that
    /// have none on any.
    ///
    /// ```
    /// # use burn::module::Module;
    /// # use burn::nn::LinearConfig;
    /// # use burn::optim::{GradientsParams, MultiGradientsParams};
    /// # use burn::tensor::{Device, Tensor};
    /// use spectra_burn::SpectralConfig;
    ///
    /// let devices = [Device::flex().autodiff(), Device::flex().autodiff()]; // such as Device::cuda(0) and Device::cuda(1)
    /// let mut model = LinearConfig::new(4, 8).init(&devices[0]);
    /// let mut optimizer = SpectralConfig::preset("spectra")?.init_for(&model)?;
    ///
    /// let mut gradients = MultiGradientsParams::default();
    /// for device in &devices {
    ///     let replica = model.clone().fork(device);
    ///     let loss = replica.forward(Tensor::<2>::ones([2, 4], device)).sum();
    ///     gradients.grads.push((GradientsParams::from_grads(loss.backward(), &replica), device.clone()));
    /// }
    /// model = optimizer.step_multi(1e-2, model, gradients)?;
    /// # Ok::<(), spectra_burn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`step`](Self::step), with the parameter's name whichever device's gradient it is; gradients of a parameter of different
    /// types; a parameter that burn has marked as distributed, whose gradients hold the sum over the devices already.
    pub fn step_multi<M: Module>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        module: M,
        gradients: MultiGradientsParams,
    ) -> core::result::Result<M, Refused<M>> {
        match add(&module, gradients, &self.members) {
            Ok(gradients) => self.step(lr, module, gradients),
            Err(error) => Err(Refused { module, error }),
        }
    }
}

/// The sums of the gradients of all devices, each on the device on which its parameter is to be stepped.
fn add<M: Module>(
    module: &M,
    gradients: MultiGradientsParams,
    members: &[Member],
) -> Result<GradientsParams> {
    let mut visitor = Add { gradients, sums: GradientsParams::new(), members, error: None };
    module.visit(&mut visitor);
    visitor.error.map_or(Ok(visitor.sums), Err)
}

struct Add<'a> {
    gradients: MultiGradientsParams,
    sums: GradientsParams,
    members: &'a [Member],
    error: Option<Error>,
}

impl Add<'_> {
    fn visit<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let given = self.gradients.grads.iter().filter_map(|(gradients, _)| gradients.get::<D>(param.id));
        let mut first = None;
        for (dims, dtype) in given.map(|gradient| (gradient.dims(), gradient.dtype())) {
            let (others, of_type): ([usize; D], DType) = *first.get_or_insert((dims, dtype));
            // Burn's sum would panic.
            if dims != others {
                return Err(Error::shape("step", flat(&others), flat(&dims)));
            }
            if dtype != of_type {
                return self.refuse(param, "has gradients of two element types");
            }
        }
        let value = param.val();
        if first.is_some() && value.is_autodiff() && value.is_distributed() {
            let reason =
                "is distributed: each device has the reduced gradient, for a `step` of its own replica";
            return self.refuse(param, reason);
        }
        // Burn's own choice of the device, and its order of the sum.
        if let Some((sum, _)) = self.gradients.remove::<D>(param.id) {
            self.sums.register(param.id, sum);
        }
        Ok(())
    }

    fn member<const D: usize>(&self, param: &Param<Tensor<D>>) -> Option<&Member> {
        place_of(self.members, param.id).map(|place| &self.members[place])
    }

    fn refuse<const D: usize>(&self, param: &Param<Tensor<D>>, reason: &'static str) -> Result<()> {
        let name = self.member(param).map_or_else(|| format!("{:?}", param.id), |of| of.found.name.clone());
        Err(Error::new("step", ErrorKind::Name { name: name.into(), reason }))
    }
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.visit(param)
        {
            self.error = Some(match self.member(param) {
                Some(member) => error.for_parameter(&member.found.name),
                None => error,
            });
        }
    }
}
