//! How much flash and memory the program takes, from the linker's marks.

use crate::heap;
use core::fmt::{self, Write};

unsafe extern "C" {
    static __vector_table: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sbss: u32;
    static __ebss: u32;
    static _stack_end: u32;
    static _stack_start: u32;
}

fn between(start: &'static u32, end: &'static u32) -> usize {
    (&raw const *end as usize) - (&raw const *start as usize)
}

/// Prints both, and the most that the stack has held.
pub(crate) fn print(out: &mut impl Write) -> fmt::Result {
    // SAFETY: only the addresses of the linker's marks are taken.
    let (flash, statics, stack) = unsafe {
        let data = between(&__sdata, &__edata);
        (
            between(&__vector_table, &__sidata) + data,
            data + between(&__sbss, &__ebss),
            between(&_stack_end, &_stack_start),
        )
    };
    let deepest = stack - untouched(stack);
    writeln!(
        out,
        "device: flash {flash} bytes; RAM: {} of statics, {} for the heap, {deepest} of stack at most of {stack}",
        statics - heap::SIZE,
        heap::SIZE
    )
}

/// Bytes at the stack's far end that still have the start-up code's paint.
fn untouched(stack: usize) -> usize {
    let painted = |at: &usize| {
        // SAFETY: the word lies between the stack's marks, is aligned as they are, and was written by the start-up code.
        unsafe { (&raw const _stack_end).add(*at).read_volatile() == cortex_m_rt::STACK_PAINT_VALUE }
    };
    (0..stack / 4).take_while(painted).count() * 4
}
