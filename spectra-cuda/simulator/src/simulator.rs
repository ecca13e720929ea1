use crate::functions::Functions;
use crate::{Counters, Violations};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// In which order the threads of a block, and the blocks of a grid, start. A missing barrier gives different results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadOrder {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
}

/// What is noticed of a rank that does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: all hang.
    Silent,
    /// Its own communicator has an error, which no call returns but the one that asks for it.
    Told,
}

/// The accounts and settings of the simulated devices of this process.
#[derive(Clone, Debug)]
pub struct Simulator {
    functions: Arc<Functions>,
}

impl Simulator {
    pub(crate) fn new(functions: Functions) -> Self {
        Self { functions: Arc::new(functions) }
    }

    /// A lock for tests that look at the accounts, which belong to the whole process. Nothing else takes it.
    pub fn exclusive(&self) -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed leaves nothing behind that the next one could not reset.
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what has happened: counters, launches, violations, a failure on request, and the error of a broken context.
    pub fn reset(&self) {
        // SAFETY: it takes nothing.
        unsafe { (self.functions.reset)() }
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        // SAFETY: `Counters` has the layout of the C++ struct of this name.
        unsafe { (self.functions.counters)(&mut counters) }
        counters
    }

    /// How often each kernel ran.
    pub fn launches(&self) -> BTreeMap<String, u64> {
        unsafe extern "C" fn visit(into: *mut c_void, name: *const c_char, count: u64) {
            // SAFETY: `into` is the map below and `name` a C string.
            unsafe { (*into.cast::<BTreeMap<String, u64>>()).insert(text(name), count) };
        }
        let mut launches = BTreeMap::<String, u64>::new();
        // SAFETY: `visit` is called before this returns, with the pointer to the map.
        unsafe { (self.functions.each_launch)(visit, (&raw mut launches).cast()) }
        launches
    }

    /// What would have been an error on a device, oldest first; at most 100 are kept.
    pub fn violations(&self) -> Vec<String> {
        unsafe extern "C" fn visit(into: *mut c_void, violation: *const c_char) {
            // SAFETY: `into` is the vector below and `violation` a C string.
            unsafe { (*into.cast::<Vec<String>>()).push(text(violation)) };
        }
        let mut violations = Vec::<String>::new();
        // SAFETY: `visit` is called before this returns, with the pointer to the vector.
        unsafe { (self.functions.each_violation)(visit, (&raw mut violations).cast()) }
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
        // SAFETY: it takes any number.
        unsafe { (self.functions.set_memory_limit)(bytes) }
    }

    /// Order of threads and blocks in later launches, forward at first.
    pub fn set_thread_order(&self, order: ThreadOrder) {
        // SAFETY: it takes either value.
        unsafe { (self.functions.set_reverse)(order == ThreadOrder::Reverse) }
    }

    /// Whether kernels that are compiled from now on report each access to memory, to find data races; off at first. They run
    /// several times slower, and the account takes 20 bytes for each byte of device memory that they use.
    pub fn set_race_checks(&self, on: bool) {
        // SAFETY: it takes either value.
        unsafe { (self.functions.set_race_checks)(on) }
    }

    /// Lets `calls` calls that queue work (a launch, a copy, a fill, a product) pass and the one after fail with
    /// `CUDA_ERROR_LAUNCH_FAILED` (`CUBLAS_STATUS_EXECUTION_FAILED`), undone; the context is not broken. [`Self::reset`] takes it
    /// back.
    pub fn fail_after(&self, calls: u64) {
        // SAFETY: it takes any number.
        unsafe { (self.functions.fail_after)(calls) }
    }

    /// Lets a rank of NCCL's communicators never arrive at what it launches as its `group`th, counted from 0: its device hangs there, and
    /// so do those that wait for it. With [`Loss::Told`] its own communicator shows an error when it is asked for one. [`Self::reset`]
    /// takes it back; the devices go on when the communicators are aborted.
    pub fn fail_collectives(&self, rank: usize, group: u64, loss: Loss) {
        // SAFETY: it takes any numbers.
        unsafe { (self.functions.fail_collectives)(rank as c_int, group, loss == Loss::Told) }
    }

    /// Number of devices, 1 at first, at most 8.
    ///
    /// # Panics
    ///
    /// For a number outside of that.
    pub fn set_device_count(&self, count: usize) {
        assert!((1..=8).contains(&count), "count: {count} devices, but 1 to 8 can be simulated");
        // SAFETY: the number is within the C++ side's array.
        unsafe { (self.functions.set_device_count)(count as c_int) }
    }
}

/// # Safety
///
/// `c` must be a C string.
unsafe fn text(c: *const c_char) -> String {
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned()
}
