//! Past one process: a group of ranks that train one model.

mod collectives;
mod communicator;
mod division;
#[cfg(feature = "threads")]
mod threads;
mod transport;

pub use collectives::{Collectives, Gather, Reduce, check_division};
pub use communicator::{Communicator, Reduction, Traffic};
pub use division::{Axis, Division};
#[cfg(feature = "threads")]
pub use threads::Threads;
pub use transport::{Alone, Lost, Transport};
