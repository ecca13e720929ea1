//! The checked level: one typed function for each kernel and product, which checks what it is given, chooses the grid
//! and counts. Private; its callers own or borrow the memory.

mod device;
#[cfg(test)]
mod hazards;
#[cfg(test)]
pub(crate) mod interleave;
mod kernels;
mod launch;
mod memory;
mod products;
mod region;
mod script;
mod source;
mod symmetric;
mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

pub(crate) use device::{Device, MOST};
pub(crate) use kernels::{Average, Elementwise, Factorization, Of};
pub(crate) use kernels::{Join, Summands};
pub(crate) use launch::{CONSTANT, Coefficients, Instruction, LOAD};
pub(crate) use memory::{Buffer, Slot, Table};
pub(crate) use products::Products;
pub(crate) use region::Region;
pub use region::Storage;
pub use script::GraphCounts;
pub(crate) use script::Graphs;
pub use tally::Tally;
pub(crate) use watch::Watch;
