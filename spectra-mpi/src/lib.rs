//! Ranks that are processes, by way of MPI: [`Mpi`] is a [`Transport`](spectra_core::distributed::Transport) over
//! [rsmpi](https://docs.rs/mpi).
//!
//! ```no_run
//! use spectra_core::distributed::Communicator;
//! use spectra_mpi::Mpi;
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mpi = Mpi::init(Duration::from_secs(60))?;
//!     mpi.abort_on_panic();
//!     let mut group = Communicator::new(mpi);
//!     let mut values = [1.0_f32, 2.0];
//!     group.sum(&mut [&mut values], &mut [])?;
//!     println!("rank {} of {}: {values:?}", group.rank(), group.size());
//!     Ok(())
//! }
//! ```
//!
//! `mpirun -n 4 target/release/program` starts four ranks; the program alone is a world of one. A crate of its own, since it can be
//! built only where MPI is installed (Debian: `libopenmpi-dev openmpi-bin libclang-dev`).

mod agreement;
mod flight;
mod group;
mod library;

pub use group::Mpi;
pub use library::InitError;
