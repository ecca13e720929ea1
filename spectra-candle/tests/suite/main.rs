//! One program: each test program compiles every algorithm that it uses anew.

mod against_adamw;
mod against_dense;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod golden;
mod opened;
mod optimizer;
mod overflow;
mod ownership;
mod saved_state;
mod several_ranks;
