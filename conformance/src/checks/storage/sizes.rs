//! Matrices that are large, and matrices that cannot be.

use spectra_core::backend::{Backend, Element, Matrix, Result as CoreResult};

use crate::HostMatrix;
use crate::distance::same_bits;
use crate::inputs::{LARGE, every_short_row};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// [Large matrices](LARGE) are made of zeros, and go to the device and back bit by bit.
///
/// Finds: a last block that is not cleared or not copied, rows or entries beyond what an index or a launch holds.
pub fn large_transfers<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in LARGE.into_iter().chain(every_short_row()) {
        // Memory that was used before is the likeliest to hold something else.
        drop(subject.unreadable(rows, cols)?);
        let mut matrix = subject.backend().zeros(rows, cols, None)?;
        let holds = same_bits(&subject.download(&matrix)?, &HostMatrix::zeros(rows, cols));
        judge.require(holds, format_args!("zeros {rows} x {cols} are zeros"))?;
        let values = subject.random("transferred", rows, cols);
        let holds = same_bits(&subject.download(&subject.upload(&values)?)?, &values);
        judge.require(holds, format_args!("upload keeps {rows} x {cols}"))?;
        let elements: Vec<_> = values.data.iter().map(|entry| B::Element::narrow(*entry)).collect();
        matrix.write(&elements)?;
        let holds = same_bits(&subject.download(&matrix)?, &values);
        judge.require(holds, format_args!("write keeps {rows} x {cols}"))?;
    }
    judge.finish()
}

/// Matrices that no memory holds are refused with an error, and the backend goes on working. Their numbers of entries or of bytes
/// are not numbers of 64 bits, or more than can be addressed.
///
/// Finds: a product of extents that wraps around to something small, a panic or an abort in place of an error.
pub fn impossible_sizes<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let size = core::mem::size_of::<B::Element>();
    // Entries modulo 2^64: 1, 0, 0, 2^63, 2^63; then bytes: 0 modulo 2^64, one more than 2^63 - 1, and 2^60.
    let sizes = [
        (usize::MAX, usize::MAX),
        (1 << 32, 1 << 32),
        (1 << 63, 2),
        (1 << 32, 1 << 31),
        (usize::MAX / 2 + 1, 1),
        ((1 << 32) / size, 1 << 32),
        ((1 << 31) / size, 1 << 32),
        ((1 << 30) / size, 1 << 30),
    ];
    for (rows, cols) in sizes {
        for (rows, cols) in [(rows, cols), (cols, rows)] {
            refused(&mut judge, "zeros", (rows, cols), subject.backend().zeros(rows, cols, None))?;
            let entries = rows.wrapping_mul(cols);
            if entries <= 1 {
                let values = vec![B::Element::narrow(1.0); entries];
                refused(&mut judge, "upload", (rows, cols), subject.backend().upload(rows, cols, &values))?;
            }
        }
    }
    let values = subject.random("afterwards", 7, 9);
    let holds = same_bits(&subject.download(&subject.upload(&values)?)?, &values);
    judge.require(holds, format_args!("the backend works after it has refused"))?;
    judge.finish()
}

fn refused<M>(
    judge: &mut Judge,
    operation: &str,
    (rows, cols): (usize, usize),
    result: CoreResult<M>,
) -> Result<(), Failure> {
    judge.require(
        result.is_err(),
        format_args!("{operation} of {rows} x {cols}, which no memory holds, is refused"),
    )
}
