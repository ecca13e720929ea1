use libloading::os::unix::Library;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What has happened on all simulated devices since the last [`Simulator::reset`]; what is alive is counted through.
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
}

impl Counters {
    /// How often the host has waited for the device, in whatever way.
    pub fn host_waits(&self) -> u64 {
        self.stream_waits + self.context_waits + self.event_waits + self.copy_waits
    }
}

/// In which order the threads of a block, and the blocks of a row of the grid, start. A missing barrier gives different results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadOrder {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
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

/// The accounts and settings of the simulated devices of this process.
#[derive(Clone, Debug)]
pub struct Simulator {
    functions: Arc<Functions>,
}

#[derive(Debug)]
struct Functions {
    // Keeps the functions' code loaded.
    library: Library,
}

impl Functions {
    /// The function of control.cpp with this name.
    ///
    /// # Safety
    ///
    /// `F` must be its type.
    unsafe fn get<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: the caller's.
        match unsafe { self.library.get::<F>(name) } {
            Ok(function) => *function,
            Err(e) => panic!("the simulated device lacks a function: {e}"),
        }
    }
}

impl Simulator {
    pub(crate) fn new(library: Library) -> Self {
        Self { functions: Arc::new(Functions { library }) }
    }

    /// A lock for tests that look at the accounts, which belong to the whole process. Nothing else takes it.
    pub fn exclusive(&self) -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed leaves nothing behind that the next one could not reset.
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what has happened: counters, launches, violations, and the error of a broken context.
    pub fn reset(&self) {
        // SAFETY: the type is that in control.cpp.
        unsafe { self.functions.get::<unsafe extern "C" fn()>(c"sim_reset")() }
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        // SAFETY: the type is that in control.cpp; `Counters` has the layout of the C++ struct of this name.
        unsafe { self.functions.get::<unsafe extern "C" fn(*mut Counters)>(c"sim_counters")(&mut counters) }
        counters
    }

    /// How often each kernel ran.
    pub fn launches(&self) -> BTreeMap<String, u64> {
        type Visit = unsafe extern "C" fn(*mut c_void, *const c_char, u64);
        unsafe extern "C" fn visit(into: *mut c_void, name: *const c_char, count: u64) {
            // SAFETY: `into` is the map below and `name` a C string.
            unsafe { (*into.cast::<BTreeMap<String, u64>>()).insert(text(name), count) };
        }
        let mut launches = BTreeMap::<String, u64>::new();
        // SAFETY: the type is that in control.cpp; `launches` outlives the call.
        unsafe {
            let each = self.functions.get::<unsafe extern "C" fn(Visit, *mut c_void)>(c"sim_each_launch");
            each(visit, (&raw mut launches).cast());
        }
        launches
    }

    /// What would have been an error on a device, oldest first; at most 100 are kept.
    pub fn violations(&self) -> Vec<String> {
        type Visit = unsafe extern "C" fn(*mut c_void, *const c_char);
        unsafe extern "C" fn visit(into: *mut c_void, violation: *const c_char) {
            // SAFETY: `into` is the vector below and `violation` a C string.
            unsafe { (*into.cast::<Vec<String>>()).push(text(violation)) };
        }
        let mut violations = Vec::<String>::new();
        // SAFETY: the type is that in control.cpp; `violations` outlives the call.
        unsafe {
            let each = self.functions.get::<unsafe extern "C" fn(Visit, *mut c_void)>(c"sim_each_violation");
            each(visit, (&raw mut violations).cast());
        }
        violations
    }

    /// `Ok` if there was no violation.
    ///
    /// # Errors
    ///
    /// All of [`Self::violations`].
    pub fn check(&self) -> Result<(), Violations> {
        let violations = self.violations();
        if violations.is_empty() { Ok(()) } else { Err(Violations(violations)) }
    }

    /// Total memory of all devices together, 16 GiB at first; what goes beyond is `CUDA_ERROR_OUT_OF_MEMORY`.
    pub fn set_memory_limit(&self, bytes: u64) {
        // SAFETY: the type is that in control.cpp.
        unsafe { self.functions.get::<unsafe extern "C" fn(u64)>(c"sim_set_memory_limit")(bytes) }
    }

    /// Order of threads and blocks in later launches, forward at first.
    pub fn set_thread_order(&self, order: ThreadOrder) {
        // SAFETY: the type is that in control.cpp.
        unsafe {
            self.functions.get::<unsafe extern "C" fn(bool)>(c"sim_set_reverse")(
                order == ThreadOrder::Reverse,
            )
        }
    }

    /// Lets `calls` calls that queue work (a launch, a copy, a fill, a product) pass and the one after fail with
    /// `CUDA_ERROR_LAUNCH_FAILED` (`CUBLAS_STATUS_EXECUTION_FAILED`), undone; the context is not broken. [`Self::reset`] takes it back.
    pub fn fail_after(&self, calls: u64) {
        // SAFETY: the type is that in control.cpp.
        unsafe { self.functions.get::<unsafe extern "C" fn(u64)>(c"sim_fail_after")(calls) }
    }

    /// Number of devices, 1 at first, at most 8.
    ///
    /// # Panics
    ///
    /// For a number outside of that.
    pub fn set_device_count(&self, count: usize) {
        assert!((1..=8).contains(&count), "count: {count} devices, but 1 to 8 can be simulated");
        // SAFETY: the type is that in control.cpp.
        unsafe { self.functions.get::<unsafe extern "C" fn(c_int)>(c"sim_set_device_count")(count as c_int) }
    }
}

/// # Safety
///
/// `c` must be a C string.
unsafe fn text(c: *const c_char) -> String {
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned()
}
