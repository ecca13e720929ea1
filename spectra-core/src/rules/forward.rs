//! What a rule around another leaves to it.

/// The methods of [`UpdateRule`](super::UpdateRule), by name, as those of the field `rule`, in an implementation for a backend `B`.
macro_rules! forward {
    ($($method:ident),*) => { $($crate::rules::forward::forward!(@ $method);)* };
    (@ signature) => {
        fn signature(&self) -> String {
            self.rule.signature()
        }
    };
    (@ signature_in) => {
        fn signature_in(&self, version: u32) -> String {
            self.rule.signature_in(version)
        }
    };
    (@ buffers) => {
        fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
            self.rule.buffers(shape)
        }
    };
    (@ weight_decay) => {
        fn weight_decay(&self) -> f64 {
            self.rule.weight_decay()
        }
    };
    (@ validate) => {
        fn validate(&self) -> Result<()> {
            self.rule.validate()
        }
    };
    (@ check_clip_factor) => {
        fn check_clip_factor(&self, factor: f64) -> Result<()> {
            self.rule.check_clip_factor(factor)
        }
    };
    (@ gradient_limits) => {
        fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
            self.rule.gradient_limits(shape, dots)
        }
    };
    (@ batching) => {
        fn batching(&self) -> $crate::rules::Batching {
            self.rule.batching().around()
        }
    };
    (@ direction) => {
        fn direction(
            &self,
            out: &mut B::Matrix,
            gradient: &Gradient<'_, B::Matrix>,
            state: &mut State<B::Matrix>,
            rates: &StepRates,
            workspace: &mut Workspace<B>,
        ) -> Result<bool> {
            self.rule.direction(out, gradient, state, rates, workspace)
        }
    };
    (@ reads_weights) => {
        fn reads_weights(&self) -> bool {
            self.rule.reads_weights()
        }
    };
    (@ resize) => {
        fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
            self.rule.resize(wanted, saved, backend)
        }
    };
}
pub(super) use forward;
