//! The runs on the device: prints what the host prints, and the memory it takes. Ends QEMU with an error unless all is as promised.
#![no_std]
#![no_main]

mod heap;
mod memory;
mod runs;

// Its panic handler prints where and why, and ends QEMU with an error.
use panic_semihosting as _;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio};

#[entry]
fn main() -> ! {
    heap::init();
    let mut out = hio::hstdout().expect("semihosting");
    runs::all(&mut out);
    memory::print(&mut out).expect("semihosting");
    loop {
        debug::exit(debug::EXIT_SUCCESS);
    }
}
