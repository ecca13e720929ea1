//! The functions of native/control.cpp.

use crate::{Counters, Error};
use libloading::os::unix::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

pub(crate) type VisitLaunch = unsafe extern "C" fn(*mut c_void, *const c_char, u64);
pub(crate) type VisitViolation = unsafe extern "C" fn(*mut c_void, *const c_char);

/// Their addresses, and the library that holds them.
#[derive(Debug)]
pub(crate) struct Functions {
    configure: unsafe extern "C" fn(*const c_char, *const c_char, *const c_char),
    pub(crate) counters: unsafe extern "C" fn(*mut Counters),
    pub(crate) each_launch: unsafe extern "C" fn(VisitLaunch, *mut c_void),
    pub(crate) each_violation: unsafe extern "C" fn(VisitViolation, *mut c_void),
    pub(crate) reset: unsafe extern "C" fn(),
    pub(crate) set_memory_limit: unsafe extern "C" fn(u64),
    pub(crate) set_reverse: unsafe extern "C" fn(bool),
    pub(crate) set_race_checks: unsafe extern "C" fn(bool),
    pub(crate) set_device_count: unsafe extern "C" fn(c_int),
    pub(crate) fail_after: unsafe extern "C" fn(u64),
    pub(crate) fail_collectives: unsafe extern "C" fn(c_int, u64, bool),
    _library: Library,
}

impl Functions {
    /// # Safety
    ///
    /// The library must be the one built of native/control.cpp.
    pub(crate) unsafe fn load(library: Library, name: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Load { library: name.into(), reason };
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the types above are those of control.cpp.
                *unsafe { library.get($name) }.map_err(|e| failed(Error::text(&e)))?
            };
        }
        let counters_size: unsafe extern "C" fn() -> usize = function!(c"sim_counters_size");
        // SAFETY: it takes nothing.
        if unsafe { counters_size() } != size_of::<Counters>() {
            return Err(failed("its counters have another size".into()));
        }
        Ok(Self {
            configure: function!(c"sim_configure"),
            counters: function!(c"sim_counters"),
            each_launch: function!(c"sim_each_launch"),
            each_violation: function!(c"sim_each_violation"),
            reset: function!(c"sim_reset"),
            set_memory_limit: function!(c"sim_set_memory_limit"),
            set_reverse: function!(c"sim_set_reverse"),
            set_race_checks: function!(c"sim_set_race_checks"),
            set_device_count: function!(c"sim_set_device_count"),
            fail_after: function!(c"sim_fail_after"),
            fail_collectives: function!(c"sim_fail_collectives"),
            _library: library,
        })
    }

    /// The C++ compiler, its version, and where the results of compiling kernels are kept.
    pub(crate) fn configure(&self, compiler: &CStr, version: &CStr, folder: &CStr) {
        // SAFETY: C strings, which it copies.
        unsafe { (self.configure)(compiler.as_ptr(), version.as_ptr(), folder.as_ptr()) }
    }
}

/// # Errors
///
/// The text contains a NUL.
pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|e| Error::File { path: text.into(), reason: e.to_string() })
}
