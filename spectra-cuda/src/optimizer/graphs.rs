//! Steps as graphs.

use super::Optimizer;
use super::step::Taken;
use crate::backend::CudaElement;
use crate::checked::{GraphCounts, Graphs};
use crate::error::At;
use spectra_core::backend::Result;

impl<E: CudaElement> Optimizer<E> {
    /// From the next [`step`](Self::step) on the device gets a step as one CUDA graph and one copy of the host's numbers (learning rate, decay,
    /// bias corrections, thresholds and the like), which needs no wait. `false`: operation by operation again, and what was kept is gone.
    ///
    /// The host goes through each step as before, without asking the device for anything, and then looks whether it knows a graph of the same
    /// operations, on the same memory. If so that is launched, with the step's own numbers. If not, the step is captured and launched:
    /// after a change of the parameters that have gradients, of their buffers, of a setting. Up to eight graphs are kept. Steps in
    /// which memory is allocated, as the first one, are queued without a graph. [`graph_counts`](Self::graph_counts) tells which was what. The
    /// bits are those of steps without graphs, but for a product of cuBLAS's whose factors change from step to step: those lie on the
    /// device then, and cuBLAS may choose by where they lie.
    ///
    /// A step that cannot be captured, because the driver refuses it, is an error that leaves weights and state as they were.
    /// Never run on a GPU: the simulated device has graphs, and counts their launches.
    ///
    /// # Errors
    /// A rule that reads numbers of the device in its steps, or decides by them, with its parameter;
    /// [`check_finite`](spectra_core::optimizer::Config::check_finite), which reads one in each step, and a pre-clip that does. No
    /// stream or cuBLAS handle to be had.
    pub fn set_graphs(&mut self, on: bool) -> Result<()> {
        if on {
            self.core.check_repeats()?;
        }
        if on != self.graphs.is_some() {
            let device = self.core.backend().device();
            self.graphs = if on { Some(Graphs::new(device).at("graphs")?) } else { None };
        }
        Ok(())
    }

    /// How the steps since [`set_graphs`](Self::set_graphs) have come to the device; `None` without graphs.
    pub fn graph_counts(&self) -> Option<GraphCounts> {
        self.graphs.as_ref().map(Graphs::counts)
    }

    /// The step of these blocks, recorded and then queued.
    pub(super) fn advance_as_graph(&mut self, taken: Vec<Taken<E>>) -> Result<()> {
        let Some(mut graphs) = self.graphs.take() else { return self.advance(taken) };
        if !taken.iter().all(|item| self.core.has_buffers(item.index)) {
            self.graphs = Some(graphs);
            self.advance(taken)?;
            self.graphs.iter_mut().for_each(Graphs::count_uncaptured);
            return Ok(());
        }
        let done = self.record_and_run(&mut graphs, taken);
        self.graphs = Some(graphs);
        done
    }

    fn record_and_run(&mut self, graphs: &mut Graphs, taken: Vec<Taken<E>>) -> Result<()> {
        const NAME: &str = "step";
        // The same temporaries in each step, whatever the order in which they came back.
        let place = |matrix: &crate::CudaMatrix<E>| matrix.device_pointer();
        self.core.arrange(place);
        self.copies.arrange(place);
        let before = self.core.step_counts();
        let recorder = graphs.record().at(NAME)?;
        let advanced = self.advance(taken);
        let script = recorder.finish();
        if let Err(error) = advanced {
            if !script.is_once() {
                self.core.forget_step(before);
            }
            return Err(error);
        }
        // SAFETY: weights and gradients are borrowed until the step has been queued, state and temporaries are the optimizer's, the rest
        // the device's; what was given back meanwhile the script keeps.
        unsafe { graphs.run(script) }.map_err(|failure| {
            match failure.begun {
                true => self.core.fail_step(),
                false => self.core.forget_step(before),
            }
            failure.error.at(NAME)
        })
    }
}
