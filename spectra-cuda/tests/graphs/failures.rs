//! Steps that the device does not take.

use crate::device::{Outcome, check_violations, simulator};
use crate::ensure;
use crate::model::Model;
use spectra_cuda::Config;

/// Whatever call of a capture fails, the copy of the numbers, or the launch: weights, state and counts are those of before, and the step
/// can be taken again.
pub(crate) fn leave_everything_as_it_was() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    // The step that is captured is the third, or the second.
    for (preset, first) in [("spectra", 2), ("muon", 1)] {
        let config = Config::preset(preset)?.lr(0.01).check_finite(false).clip_norm(1.0);
        let (mut own, mut plain) = (Model::<f32>::new(config, true)?, Model::<f32>::new(config, false)?);
        let mut failures = 0;
        for step in 0..6 {
            for model in [&mut own, &mut plain] {
                model.backward(step)?;
            }
            plain.step()?;
            if step < first {
                own.step()?;
                continue;
            }
            let (bits, counts) = (own.bits()?, own.counts());
            // Every call that queues something fails once, then none does.
            for calls in 0.. {
                simulator.reset();
                simulator.fail_after(calls);
                let Err(error) = own.step() else { break };
                simulator.reset();
                failures += 1;
                ensure(error.to_string().contains("FAILED"), error.to_string())?;
                // A launch that fails is a graph's all the same, which is kept.
                let now = own.counts();
                ensure(
                    (now.captured, now.replayed) == (counts.captured, counts.replayed),
                    format!("{now:?}"),
                )?;
                ensure(
                    own.optimizer.steps() == step && own.bits()? == bits,
                    "a failed step changed something",
                )?;
            }
            simulator.reset();
        }
        println!("{preset}: {failures} failures, {:?}", own.counts());
        ensure(
            failures > 10 && own.counts().replayed >= 2,
            format!("{failures} failures, {:?}", own.counts()),
        )?;
        ensure(own.bits()? == plain.bits()?, format!("{preset}: other bits after failures"))?;
    }
    check_violations()
}

/// The second step is recorded, but no graph, as places of stacks are copied in it: when one of its calls fails, every later step is refused,
/// as without graphs.
pub(crate) fn of_a_step_without_a_graph() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    let config = Config::preset("spectra")?.lr(0.01).check_finite(false);
    let mut failures = 0;
    for calls in [0, 3, 20, 60, 120, 1000] {
        let mut own = Model::<f32>::new(config, true)?;
        own.step()?;
        own.backward(1)?;
        simulator.reset();
        simulator.fail_after(calls);
        let failed = own.step();
        simulator.reset();
        let Err(error) = failed else { continue };
        failures += 1;
        ensure(error.to_string().contains("FAILED"), error.to_string())?;
        let error =
            own.step().err().ok_or(format!("{calls}: a step after one that failed was taken"))?.to_string();
        ensure(error.contains("parameter `") && error.contains("restore"), error)?;
    }
    ensure((3..6).contains(&failures), format!("{failures} failures"))?;
    check_violations()
}
