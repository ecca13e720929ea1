//! The graphs of an optimizer's steps.

use super::numbers::Numbers;
use super::queue::Table;
use super::{Command, Recorder, Script};
use crate::checked::Device;
use crate::checked::memory::lock;
use crate::checked::tally::Counters;
use crate::error::CudaError;
use crate::raw::blas::Blas;
use crate::raw::graph::{Graph, Side};
use std::sync::{Arc, Mutex};

/// Graphs that are kept: as many different steps may take turns.
const KEPT: usize = 8;

/// How the steps so far have come to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphCounts {
    /// Steps that were captured, and launched as the graph that came of it.
    pub captured: u64,
    /// Steps that were one launch of a graph from before.
    pub replayed: u64,
    /// Steps that were queued operation by operation, because state was made in them, memory allocated, or something copied to the device: the first one or
    /// two, and those after a parameter has come in, or buffers of a stack have moved.
    pub uncaptured: u64,
    /// Graphs that are kept now.
    pub kept: usize,
}

/// A step that has come to nothing, or not to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: CudaError,
    /// Whether the device may have begun it, or does not have what the step after counts on.
    pub(crate) begun: bool,
}

/// What `error` is before anything has been queued.
fn before(error: CudaError) -> Failure {
    Failure { error, begun: false }
}

#[derive(Debug)]
struct Kept {
    script: Script,
    /// The products whose factors have been seen to change: in the table, as all numbers of kernels are.
    products: Vec<usize>,
    graph: Graph,
}

/// Graphs, and what they need.
#[derive(Debug)]
pub(crate) struct Graphs {
    // Graphs and cuBLAS go before the device, in whose memory they work.
    /// The last used at the end.
    kept: Vec<Kept>,
    blas: Mutex<Blas>,
    side: Side,
    numbers: Numbers,
    counts: GraphCounts,
    device: Arc<Device>,
}

impl Graphs {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self, CudaError> {
        let side = Side::new(device.stream.context())?;
        let workspace = lock(&device.multiplier).workspace();
        // SAFETY: the workspace and the stream are dropped later: they are the device's, and `side`.
        let blas = Mutex::new(unsafe { Blas::new(device.stream.context(), side.handle(), workspace) }?);
        let (kept, numbers, counts) = (Vec::new(), Numbers::default(), GraphCounts::default());
        Ok(Self { kept, blas, side, numbers, counts, device: device.clone() })
    }

    pub(crate) fn counts(&self) -> GraphCounts {
        GraphCounts { kept: self.kept.len(), ..self.counts }
    }

    /// A step that was not recorded.
    pub(crate) fn count_uncaptured(&mut self) {
        self.counts.uncaptured += 1;
    }

    /// From now on this thread's work on the device is recorded.
    pub(crate) fn record(&self) -> Result<Recorder, CudaError> {
        Recorder::start(&self.device)
    }

    /// Queues a step that has just been recorded: as a graph, unless something in it is not to be repeated.
    ///
    /// # Safety
    /// All memory that it uses must still be there.
    pub(crate) unsafe fn run(&mut self, script: Script) -> Result<(), Failure> {
        if script.is_once() {
            // SAFETY: the caller's promise.
            return unsafe { self.queue(&script) };
        }
        let known =
            self.kept.iter().enumerate().find_map(|(at, kept)| Some((at, kept.script.compare(&script)?)));
        // Whatever is kept was captured with the places of these numbers.
        let double = self.device.products.is_double();
        let (mut kept, is_new) = match known {
            Some((at, changed)) => {
                let mut kept = self.kept.remove(at);
                let varies = |index: &usize| !kept.products.contains(index);
                let new: Vec<usize> = changed.into_iter().filter(varies).collect();
                if new.is_empty() {
                    (kept, false)
                } else {
                    kept.products.extend(new);
                    (self.capture(&script, kept.products).map_err(before)?, true)
                }
            }
            None => (self.capture(&script, Vec::new()).map_err(before)?, true),
        };
        let table = script.table(&kept.products, double);
        let sent = self.numbers.send(&self.device, &table);
        // SAFETY: the script asks for what the graph was captured with, in memory that is there now by the caller's promise.
        let done = sent.and_then(|()| unsafe { kept.graph.launch(&self.device.stream) });
        if is_new {
            kept.script = script;
        }
        self.keep(kept);
        done.map_err(before)?;
        Counters::add(&self.device.counters.graphs, 1);
        let count = if is_new { &mut self.counts.captured } else { &mut self.counts.replayed };
        *count += 1;
        Ok(())
    }

    fn keep(&mut self, kept: Kept) {
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push(kept);
    }

    /// The graph of a script, whose memory is there. The script itself is not kept yet.
    fn capture(&mut self, script: &Script, products: Vec<usize>) -> Result<Kept, CudaError> {
        let double = self.device.products.is_double();
        self.make_room(script.numbers.len() + 2 * products.len())?;
        let table = Table { place: self.numbers.place(), products: &products, double };
        let blas = lock(&self.blas);
        // SAFETY: nothing runs yet; what will run is looked at when it is launched.
        let graph = self.side.capture(|stream| unsafe { script.queue(stream, &blas, table) })?;
        Ok(Kept { script: Script::default(), products, graph })
    }

    /// A larger table lies elsewhere: graphs with the old place are of no use.
    fn make_room(&mut self, count: usize) -> Result<(), CudaError> {
        if self.numbers.reserve(&self.device, count)? {
            self.kept.clear();
        }
        Ok(())
    }

    /// One operation after the other.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn queue(&mut self, script: &Script) -> Result<(), Failure> {
        let double = self.device.products.is_double();
        // Buffers that were made for it are not what the host takes them for.
        let begun = |error| Failure { error, begun: true };
        self.make_room(script.numbers.len()).map_err(begun)?;
        self.numbers.send(&self.device, &script.table(&[], double)).map_err(begun)?;
        let table = Table { place: self.numbers.place(), products: &[], double };
        self.device.stream.context().bind_to_thread().map_err(|error| begun(error.into()))?;
        // What others multiply meanwhile would come between a product and the kernel that leaves its factors.
        let multiplier = lock(&self.device.multiplier);
        // SAFETY: the caller's promise.
        let done = unsafe { script.queue(self.device.stream.cu_stream(), &multiplier.blas, table) };
        done.map_err(begun)?;
        let products =
            script.commands.iter().filter(|command| matches!(command, Command::Product(..))).count();
        let uploads =
            script.commands.iter().filter(|command| matches!(command, Command::Upload { .. })).count();
        Counters::add(&self.device.counters.products, products);
        Counters::add(&self.device.counters.launches, script.commands.len() - uploads);
        self.counts.uncaptured += 1;
        Ok(())
    }
}
