//! What is no graph, told by name before anything is changed.

use crate::device::{Outcome, backend, check_violations};
use crate::ensure;
use crate::model::SHAPES;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, Optimizer, PreClip};

pub(crate) fn by_name() -> Outcome {
    let quiet = |name: &str| Ok::<_, spectra_cuda::Error>(Config::preset(name)?.check_finite(false));
    let mut refused = vec![
        (Config::preset("adamw")?, vec!["check_finite", "reads a number"]),
        (quiet("adamw")?.pre_clip(PreClip::new(1.0)), vec!["pre_clip", "SoftClipMethod::Fixed"]),
    ];
    for name in
        ["spectra-adamw", "spectra-signum", "frank-wolfe", "dion", "dion2", "dion3", "soap", "shampoo"]
    {
        refused.push((quiet(name)?, vec!["h.0.up", "decide by them"]));
    }
    for (config, words) in refused {
        let mut optimizer = Optimizer::<f32>::new(backend()?, config, &Plan::builder(), SHAPES)?;
        let Err(error) = optimizer.set_graphs(true) else {
            return Err(format!("{words:?}: accepted").into());
        };
        let text = error.to_string();
        ensure(words.iter().all(|word| text.contains(word)), format!("{text:?} does not say {words:?}"))?;
        ensure(optimizer.graph_counts().is_none(), "graphs are on after they were refused")?;
    }
    check_violations()
}
