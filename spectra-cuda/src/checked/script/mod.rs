//! A step as a list of launches and products, so that it can be compared with those before it, and repeated by a graph.
//!
//! While a thread records, what it asks of its device is noted instead of being queued. Numbers of the host are taken out of the
//! arguments: they lie in a table in device memory, at the same place in every step that asks for the same.

mod argument;
mod graphs;
mod numbers;
mod queue;

pub(super) use argument::{Argument, HostNumbers, Seed};
pub use graphs::GraphCounts;
pub(crate) use graphs::Graphs;

use super::Device;
use super::memory::Buffer;
use crate::error::CudaError;
use crate::raw::Place;
use crate::raw::blas::{Factors, Product};
use cudarc::driver::sys::{CUdeviceptr, CUfunction};
use cudarc::driver::{CudaFunction, LaunchConfig};
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// What this thread notes, and of which device.
struct Recording {
    device: *const Device,
    script: Script,
}

/// What a step asks of the device, in order.
#[derive(Debug, Default)]
pub(crate) struct Script {
    commands: Vec<Command>,
    /// The arguments of all kernels, each from a whole word on.
    words: Vec<u64>,
    /// Where each argument begins.
    arguments: Vec<usize>,
    /// The words that say where numbers are: so many bytes into the table.
    places: Vec<usize>,
    /// The numbers of kernels, in the table's order.
    numbers: Vec<u64>,
    /// Whether it is not to be repeated: the host has asked for memory, or copied to it.
    once: bool,
    /// Memory that was given back meanwhile, and that the commands still use.
    kept: Vec<Buffer>,
}

#[derive(Debug, PartialEq)]
enum Command {
    Kernel(Launch),
    Product(Product, Pair),
    Upload { to: CUdeviceptr, bytes: Vec<u8> },
}

#[derive(Debug, PartialEq)]
struct Launch {
    function: Function,
    grid: (u32, u32, u32),
    block: (u32, u32, u32),
    shared: u32,
    /// Of the script's.
    arguments: Range<usize>,
}

/// A kernel of the device, which outlives the script.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Function(CUfunction);

// SAFETY: a handle that any thread may use.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// The factors of a product.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pair {
    /// Those that the host knows.
    Host { beta: f64, alpha: f64 },
    /// Elements in device memory.
    Device { beta: CUdeviceptr, alpha: CUdeviceptr },
}

impl Pair {
    /// As cuBLAS takes them.
    pub(super) fn factors(self, double: bool) -> Factors<'static> {
        match self {
            Self::Device { beta, alpha } => {
                Factors::Device { beta: Place::new(beta), alpha: Place::new(alpha) }
            }
            Self::Host { beta, alpha } if double => Factors::Double { beta, alpha },
            Self::Host { beta, alpha } => Factors::Single { beta: beta as f32, alpha: alpha as f32 },
        }
    }
}

/// Numbers of the host are no part of what is asked for.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Host { .. }, Self::Host { .. }) => true,
            (Self::Device { beta, alpha }, Self::Device { beta: b, alpha: a }) => (beta, alpha) == (b, a),
            _ => false,
        }
    }
}

/// Whether this thread notes what is asked of `device`.
pub(super) fn is_recorded(device: &Device) -> bool {
    RECORDING.with_borrow(|own| own.as_ref().is_some_and(|own| std::ptr::eq(own.device, device)))
}

/// Runs `f` on what this thread notes of `device`, if it does.
fn with<R>(device: &Device, f: impl FnOnce(&mut Script) -> R) -> Option<R> {
    RECORDING.with_borrow_mut(|own| {
        own.as_mut().filter(|own| std::ptr::eq(own.device, device)).map(|own| f(&mut own.script))
    })
}

/// Notes a launch with the arguments that `push` adds, if this thread records.
pub(super) fn launch(
    device: &Device,
    kernel: &CudaFunction,
    config: LaunchConfig,
    push: impl FnOnce(&mut Script),
) -> bool {
    let noted = with(device, |script| {
        let first = script.arguments.len();
        push(script);
        let arguments = first..script.arguments.len();
        let LaunchConfig { grid_dim: grid, block_dim: block, shared_mem_bytes: shared } = config;
        let function = Function(kernel.cu_function());
        script.commands.push(Command::Kernel(Launch { function, grid, block, shared, arguments }));
    });
    noted.is_some()
}

/// Notes a product, if this thread records.
pub(super) fn product(device: &Device, product: &Product, pair: Pair) -> bool {
    with(device, |script| script.commands.push(Command::Product(*product, pair))).is_some()
}

/// Notes a copy from the host, if this thread records.
///
/// # Safety
/// `to` must have room for the values, which have no padding.
pub(super) unsafe fn upload<T>(device: &Device, to: CUdeviceptr, values: &[T]) -> bool {
    // SAFETY: the values are borrowed, and without padding.
    let bytes = || unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    let noted = with(device, |script| {
        script.once = true;
        script.commands.push(Command::Upload { to, bytes: bytes().to_vec() });
    });
    noted.is_some()
}

/// What is recorded was asked for with memory of its own.
pub(super) fn allocated(device: &Device) {
    with(device, |script| script.once = true);
}

/// Whether a recorded kernel is given this pointer, or a product is.
pub(super) fn uses(device: &Device, pointer: CUdeviceptr) -> bool {
    let of_product =
        |command: &Command| matches!(command, Command::Product(product, _) if product.uses(pointer));
    let uses =
        |script: &mut Script| script.words.contains(&pointer) || script.commands.iter().any(of_product);
    with(device, uses).unwrap_or(false)
}

/// Keeps memory until the commands that use it are queued, if this thread records; gives it back otherwise.
pub(super) fn keep(buffer: Buffer) -> Option<Buffer> {
    let mut given = Some(buffer);
    // At the end of a thread nothing is recorded any more.
    let _ = RECORDING.try_with(|own| {
        if let Some(own) = own.borrow_mut().as_mut() {
            own.script.kept.extend(given.take());
        }
    });
    given
}

/// This thread records until it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder(());

impl Recorder {
    /// From now on this thread notes what it asks of `device`.
    pub(crate) fn start(device: &Device) -> Result<Self, CudaError> {
        device.refuse_capture("a step that makes graphs of its own")?;
        device.arrange_slots();
        let recording = Recording { device, script: Script::default() };
        drop(RECORDING.replace(Some(recording)));
        Ok(Self(()))
    }

    /// What was noted.
    pub(crate) fn finish(self) -> Script {
        RECORDING.take().map(|own| own.script).unwrap_or_default()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Dropped outside: what it keeps asks whether this thread records.
        drop(RECORDING.take());
    }
}

impl Script {
    /// Whether something in it is not to be repeated.
    pub(crate) fn is_once(&self) -> bool {
        self.once
    }

    /// Adds an argument of the launch that is being noted.
    pub(super) fn push<T: Argument>(&mut self, mut argument: T) {
        let place = argument.extract(&mut self.numbers);
        let start = self.words.len();
        self.words.resize(start + size_of::<T>().div_ceil(8), 0);
        // SAFETY: there is room for it from this word on.
        unsafe { self.words.as_mut_ptr().add(start).cast::<T>().write_unaligned(argument) };
        self.arguments.push(start);
        self.places.extend(place.map(|bytes| start + bytes / 8));
    }

    /// Whether another step asks for the same; which products then have other factors.
    fn compare(&self, other: &Self) -> Option<Vec<usize>> {
        let same = self.commands == other.commands
            && self.words == other.words
            && self.arguments == other.arguments
            && self.places == other.places;
        let differs = |pairs: (&Command, &Command)| match pairs {
            (
                Command::Product(_, Pair::Host { beta: b, alpha: a }),
                Command::Product(_, Pair::Host { beta, alpha }),
            ) => (b.to_bits(), a.to_bits()) != (beta.to_bits(), alpha.to_bits()),
            _ => false,
        };
        let others = self.commands.iter().zip(&other.commands).enumerate();
        same.then(|| others.filter(|(_, pair)| differs(*pair)).map(|(index, _)| index).collect())
    }
}
