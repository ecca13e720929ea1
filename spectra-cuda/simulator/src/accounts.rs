use std::fmt;

/// What has happened on all simulated devices since the last [`Simulator::reset`](crate::Simulator::reset); what is alive is counted through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Allocations not freed yet.
    pub allocations_alive: u64,
    /// Allocations made.
    pub allocations_total: u64,
    /// Bytes not freed yet.
    pub bytes_alive: u64,
    /// The most bytes alive at a time.
    pub bytes_peak: u64,
    /// Bytes allocated.
    pub bytes_total: u64,
    /// Kernels run, replayed ones included.
    pub launches: u64,
    /// Calls of cuBLAS that multiply; a batch counts once.
    pub products: u64,
    /// Their floating-point operations: 2mnk for a product, n(n+1)k for a symmetric one.
    pub flops: u64,
    /// Memory fills.
    pub memsets: u64,
    /// Graphs launched.
    pub graph_launches: u64,
    /// Copies from the host.
    pub host_to_device_copies: u64,
    /// Their bytes.
    pub host_to_device_bytes: u64,
    /// Copies to the host.
    pub device_to_host_copies: u64,
    /// Their bytes.
    pub device_to_host_bytes: u64,
    /// Copies on the device.
    pub device_to_device_copies: u64,
    /// Their bytes.
    pub device_to_device_bytes: u64,
    /// Waits of the host for a stream.
    pub stream_waits: u64,
    /// Waits of the host for a whole context.
    pub context_waits: u64,
    /// Waits of the host for an event.
    pub event_waits: u64,
    /// Copies to pageable host memory, which return when the stream is done.
    pub copy_waits: u64,
    /// Streams not destroyed yet.
    pub streams_alive: u64,
    /// Streams created.
    pub streams_total: u64,
    /// Events not destroyed yet.
    pub events_alive: u64,
    /// Events created.
    pub events_total: u64,
    /// Kernel sources compiled; those found compiled do not count.
    pub modules_compiled: u64,
    /// Calls of NCCL that communicate.
    pub collective_calls: u64,
    /// What they made of them: calls in a group are one launch for each communicator.
    pub collective_groups: u64,
    /// Bytes that went from one rank to another, of all ranks; a sum as on a ring, 2 (N - 1) times its length.
    pub collective_bytes: u64,
}

impl Counters {
    /// How often the host has waited for the device, in whatever way.
    pub fn host_waits(&self) -> u64 {
        self.stream_waits + self.context_waits + self.event_waits + self.copy_waits
    }
}

/// What would have been an error, or undefined, on a device: one text each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(pub Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violation(s) on the simulated CUDA device", self.0.len())?;
        self.0.iter().try_for_each(|text| write!(f, "\n  {text}"))
    }
}

impl std::error::Error for Violations {}
