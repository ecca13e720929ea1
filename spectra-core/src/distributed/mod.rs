//! Past one process: a group of ranks that train one model.
//!
//! | | |
//! |---|---|
//! | [`Transport`] | what carries bytes between ranks, with a deadline: [`Alone`], threads (feature `threads`), MPI (`spectra-mpi`), an engine of yours |
//! | [`Communicator`] | sums, gathers and the rest over a transport: counted, checked, dead after an error |
//! | [`Collectives`] | the same on matrices: a communicator by way of the host, NCCL (`spectra-cuda`) on the device |
//! | [`Division`], [`Placing`], [`Placement`] | which part of a matrix is where, and which rank steps it |
//! | [`Sharded`] | a backend whose matrices may be divided: the algorithms run on it as they are |
//! | [`DistributedOptimizer`] | the optimizer of a model whose weights every rank has |
//! | [`traffic`], [`Way`], [`Machine`] | what that sends, by formulas, and how long it takes in a model |
//!
//! `docs/scale.md` of the repository is the user's page.

mod agree;
mod collectives;
mod communicator;
mod cost;
mod division;
mod optimizer;
mod placement;
#[cfg(feature = "serde")]
mod saved;
mod sharded;
#[cfg(feature = "threads")]
mod threads;
pub mod traffic;
mod transport;

pub use collectives::{Collectives, Gather, Reduce, check_division};
pub use communicator::{Communicator, Reduction, Traffic};
pub use cost::{Cost, Machine, Way};
pub use division::{Axis, Division};
pub use optimizer::{Average, DistributedOptimizer};
pub use placement::{Mode, Placement, Placing, Words, Work};
pub use sharded::{Sharded, ShardedMatrix, Spread};
#[cfg(feature = "threads")]
pub use threads::Threads;
pub use transport::{Alone, Lost, Transport};

use alloc::{string::String, vec::Vec};

/// A text as words, little-endian, filled up with zeros.
fn put_text(words: &mut [u64], text: &str) {
    for (word, bytes) in words.iter_mut().zip(text.as_bytes().chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

/// The texts of which each has `len` words, zeros included.
fn texts(words: &[u64], len: usize) -> impl Iterator<Item = String> {
    words.chunks(len.max(1)).map(|words| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
