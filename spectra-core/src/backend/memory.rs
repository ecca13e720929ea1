//! Whether a matrix can be: its number of bytes, and the host's memory.

use super::{Error, Result};
use alloc::vec::Vec;

/// The number of entries of a `rows x cols` matrix of T, if its bytes can be addressed. Every backend's
/// [`zeros`](super::Backend::zeros) starts with it: a product that wraps around is a small matrix under a large name.
///
/// # Errors
/// More than `isize::MAX` bytes.
pub fn check_size<T>(operation: &'static str, rows: usize, cols: usize) -> Result<usize> {
    let count = rows.checked_mul(cols);
    let bytes = count.and_then(|count| count.checked_mul(size_of::<T>()));
    match (count, bytes) {
        (Some(count), Some(bytes)) if bytes <= isize::MAX as usize => Ok(count),
        _ => {
            let elements = rows as f64 * cols as f64;
            Err(Error::argument(operation, "rows * cols", elements, "at most what can be addressed"))
        }
    }
}

/// [`check_size`], and whether the host's allocator has that much, which it is asked for and gets back: for a backend whose
/// allocation does not return an error.
///
/// # Errors
/// More than can be addressed; the allocator's refusal.
pub fn check_memory<T>(operation: &'static str, rows: usize, cols: usize) -> Result<usize> {
    let count = check_size::<T>(operation, rows, cols)?;
    Vec::<T>::new().try_reserve_exact(count).map_err(|error| Error::device(operation, error))?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::{check_memory, check_size};

    #[test]
    fn products_do_not_wrap_around() {
        assert_eq!(check_size::<f32>("zeros", 3, 5).unwrap(), 15);
        assert_eq!(check_size::<f32>("zeros", usize::MAX, 0).unwrap(), 0);
        for (rows, cols) in [(usize::MAX, usize::MAX), (1 << 32, 1 << 32), (1 << 32, 1 << 29)] {
            assert!(check_size::<f32>("zeros", rows, cols).is_err(), "{rows} x {cols}");
        }
    }

    #[test]
    fn what_the_allocator_refuses_is_an_error() {
        assert!(check_size::<f32>("zeros", 1 << 30, 1 << 28).is_ok());
        let error = check_memory::<f32>("zeros", 1 << 30, 1 << 28).unwrap_err();
        assert_eq!(error.operation(), "zeros");
    }
}
