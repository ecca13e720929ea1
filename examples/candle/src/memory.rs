//! Freed memory is kept: the tensors of one step are as large as those of the next, and handing their pages back
//! to the system and getting them cleared again takes as long as the arithmetic.

/// Blocks below this size come from the heap, which is never trimmed. The largest value glibc accepts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGEST_KEPT: libc::c_int = 32 << 20;

/// Tells glibc to keep what is freed. Other systems' allocators are left as they are.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
