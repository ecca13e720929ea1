//! The optimizers of modules.

mod blocks;
mod changed;
mod clip_schedule;
mod common;
mod decay_vectors;
mod gradient_range;
mod groups;
mod layouts;
mod learner;
mod lockstep;
mod masters;
mod model;
mod observe;
mod on_device;
mod own_rules;
mod peers;
mod readme;
mod refusals;
mod replicas;
mod reports;
mod resume;
mod rounding;
mod several_devices;
mod sixteen_bits;
mod state_file;
mod tally;
