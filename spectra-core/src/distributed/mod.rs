//! Past one process: a group of ranks that train one model.

mod collectives;
mod communicator;
mod cost;
mod division;
mod placement;
#[cfg(feature = "threads")]
mod threads;
pub mod traffic;
mod transport;

pub use collectives::{Collectives, Gather, Reduce};
pub use communicator::{Communicator, Reduction, Traffic};
pub use cost::{Cost, Machine, Way};
pub use division::{Axis, Division};
pub use placement::{Mode, Placement, Placing, Words, Work};
#[cfg(feature = "threads")]
pub use threads::Threads;
pub use transport::{Alone, Lost, Transport};
