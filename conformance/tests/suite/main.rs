//! One program: each test program compiles every algorithm that it uses anew.

mod dense;
mod faer;
mod golden_baselines;
mod golden_frank_wolfe;
mod golden_maps;
mod golden_schedules;
mod lemmas;
mod properties;
mod ranks;
