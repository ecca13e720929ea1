//! The conformance suite's check of transports, over MPI: `mpirun -n 3 target/release/check_mpi`.

use spectra_conformance::ranks::check_transport;
use spectra_core::distributed::Communicator;
use spectra_mpi::Mpi;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut group = Communicator::new(Mpi::init(Duration::from_secs(60))?);
    check_transport(&mut group)?;
    println!("rank {} of {}: sound", group.rank(), group.size());
    Ok(())
}
