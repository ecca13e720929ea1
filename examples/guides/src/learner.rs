//! A renderer for burn's learners: a bar in 80 columns, and the curves of all metrics.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use burn::train::LearnerSummary;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};
use spectra_examples::Bar;
use spectra_examples::pictures::Curve;

/// The values of all metrics, by name: of training over batches, of validation the mean of each epoch.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Values>>);

#[derive(Debug, Default)]
struct Values {
    names: Vec<(MetricId, String)>,
    epoch: usize,
    train: BTreeMap<String, Vec<f64>>,
    /// For each epoch, what its batches have had.
    valid: BTreeMap<String, BTreeMap<usize, Vec<f64>>>,
}

impl Seen {
    fn with<T>(&self, f: impl FnOnce(&mut Values) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The curve of a metric over the epochs, under this name; empty if there is none of it.
    pub fn validation(&self, metric: &str, name: &str) -> Curve {
        let mean =
            |(epoch, all): (&usize, &Vec<f64>)| (*epoch as f64, all.iter().sum::<f64>() / all.len() as f64);
        let points = self.with(|seen| seen.valid.get(metric).map(|epochs| epochs.iter().map(mean).collect()));
        (name.into(), points.unwrap_or_default())
    }

    /// The curve of a metric over the training batches, under this name; empty if there is none of it.
    pub fn training(&self, metric: &str, name: &str) -> Curve {
        let values = self.with(|seen| seen.train.get(metric).cloned()).unwrap_or_default();
        (name.into(), values.into_iter().enumerate().map(|(at, value)| ((at + 1) as f64, value)).collect())
    }
}

/// The renderer.
pub struct Renderer {
    seen: Seen,
    bar: Option<Bar>,
    name: String,
    epochs: usize,
    epoch: usize,
    items: usize,
    is_training: bool,
}

impl Renderer {
    /// A renderer with a bar under this name, which fills `seen`.
    pub fn new(name: &str, seen: Seen) -> Self {
        Self { seen, bar: None, name: name.into(), epochs: 1, epoch: 0, items: 0, is_training: false }
    }

    fn show(&self, items: usize, is_line: bool) {
        let last = |values: Option<&Vec<f64>>| values.and_then(|values| values.last().copied());
        let loss = self
            .seen
            .with(|seen| last(seen.train.get("Loss")))
            .map_or("-".into(), |loss| format!("{loss:.4}"));
        if let Some(bar) = &self.bar {
            bar.show(items, &format!("loss {loss}"), is_line);
        }
    }
}

fn entry(state: &MetricState) -> Option<(&MetricId, f64)> {
    match state {
        // The last one of an epoch repeats what its batches have said.
        MetricState::Generic(_) | MetricState::Numeric(_, None | Some(NumericEntry::Final(_))) => None,
        MetricState::Numeric(entry, Some(value)) => Some((&entry.metric_id, value.current())),
    }
}

impl Values {
    fn name(&self, id: &MetricId) -> String {
        self.names.iter().find(|(known, _)| known == id).map_or_else(String::new, |(_, name)| name.clone())
    }
}

impl MetricsRendererTraining for Renderer {
    fn update_train(&mut self, state: MetricState) {
        if let Some((id, value)) = entry(&state) {
            self.seen.with(|seen| {
                let name = seen.name(id);
                seen.train.entry(name).or_default().push(value);
            });
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        if let Some((id, value)) = entry(&state) {
            let epoch = |seen: &mut Values| {
                let (name, epoch) = (seen.name(id), seen.epoch + 1);
                seen.valid.entry(name).or_default().entry(epoch).or_default().push(value);
            };
            self.seen.with(epoch);
        }
    }

    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        if let Some(summary) = summary {
            println!("{summary}");
        }
        Ok(())
    }
}

impl TrainingProgressLogger for Renderer {
    fn start(&mut self, epochs: usize, first: usize, _: Option<usize>, _: Option<&str>) {
        (self.epochs, self.epoch) = (epochs, first.saturating_sub(1));
    }

    fn start_split(&mut self, split: &str, items: usize) {
        self.is_training = split == "train";
        if self.is_training {
            self.items = items;
            let (all, done) = (self.epochs * items, self.epoch * items);
            self.bar.get_or_insert_with(|| Bar::start(&self.name, all, done));
        }
    }

    fn update_split(&mut self, items: usize) {
        if self.is_training {
            self.show(self.epoch * self.items + items, false);
        }
    }

    fn update_epoch(&mut self, _: usize) {
        self.epoch += 1;
        self.seen.with(|seen| seen.epoch = self.epoch);
        self.show(self.epoch * self.items, true);
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _: String) {}
}

// The guides' programs evaluate nothing by burn's evaluator.
impl MetricsRendererEvaluation for Renderer {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for Renderer {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for Renderer {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.seen.with(|seen| seen.names.push((definition.metric_id, definition.name.to_string())));
    }
}
