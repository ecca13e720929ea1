//! Grids, and the coefficients that kernels evaluate.

use super::Region;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{DeviceRepr, LaunchConfig};

/// Threads of every block; `THREADS` of the kernels.
const THREADS: usize = 256;
/// The most blocks of a launch: enough for every device of today, few enough to add up their results in one block.
pub(super) const MAX_BLOCKS: usize = 2048;
/// Entries for each thread before a row gets another block.
const PER_THREAD: usize = 4;

/// A grid in two dimensions, `(x, y)` blocks: along the columns and over the rows. It depends on the shape alone, so that
/// reductions have the same order on every device.
pub(super) fn grid(rows: usize, cols: usize) -> (u32, u32) {
    let x = cols.div_ceil(THREADS * PER_THREAD).clamp(1, MAX_BLOCKS);
    let y = rows.clamp(1, (MAX_BLOCKS / x).max(1));
    (x as u32, y as u32)
}

pub(super) fn config((x, y): (u32, u32)) -> LaunchConfig {
    LaunchConfig { grid_dim: (x, y, 1), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 }
}

/// Its blocks.
pub(super) fn blocks(config: &LaunchConfig) -> usize {
    let (x, y, z) = config.grid_dim;
    x as usize * y as usize * z as usize
}

/// The same for each part of a stack: its number is the block's in the third dimension.
pub(super) fn each(config: LaunchConfig, region: Region) -> LaunchConfig {
    let (x, y, _) = config.grid_dim;
    LaunchConfig { grid_dim: (x, y, region.count as u32), ..config }
}

/// Steps of a program; `INSTRUCTIONS` of the kernels.
pub(crate) const INSTRUCTIONS: usize = 40;
/// A number of the host; `OP_CONSTANT` of the kernels.
pub(crate) const CONSTANT: i32 = 0;
/// The place of a number; `OP_LOAD` of the kernels.
pub(crate) const LOAD: i32 = 1;
/// Coefficients of a launch; `COEFFICIENTS` of the kernels.
pub(crate) const COEFFICIENTS: usize = 4;

/// `struct Instruction` of the kernels: a number, the place of one (with `a` 1: of the first of those of a stack's parts), or an
/// operation on earlier results.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Instruction {
    pub(crate) constant: f64,
    pub(crate) place: CUdeviceptr,
    pub(crate) op: i32,
    pub(crate) a: i16,
    pub(crate) b: i16,
}

/// `struct Coefficients` of the kernels: `factor[i]`, times the result of step `out[i]` if that is not negative.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coefficients {
    pub(crate) factor: [f64; COEFFICIENTS],
    pub(crate) out: [i32; COEFFICIENTS],
    pub(crate) count: i32,
    pub(crate) unused: i32,
    /// Where the factors and the constants of the code are instead, if that is not 0.
    pub(crate) numbers: CUdeviceptr,
    pub(crate) code: [Instruction; INSTRUCTIONS],
}

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for Coefficients {}

impl Coefficients {
    /// Host numbers.
    pub(crate) fn of(factor: [f64; COEFFICIENTS]) -> Self {
        let code = [Instruction::default(); INSTRUCTIONS];
        Self { factor, out: [-1; COEFFICIENTS], count: 0, unused: 0, numbers: 0, code }
    }

    /// Those of part `i` of a stack.
    pub(crate) fn of_part(&self, i: usize) -> Self {
        let mut own = *self;
        for step in own.code.iter_mut().filter(|step| step.op == LOAD && step.a == 1) {
            (step.place, step.a) = (step.place + 8 * i as CUdeviceptr, 0);
        }
        own
    }

    /// Whether the parts of a stack have their own.
    pub(crate) fn differ(&self) -> bool {
        self.code.iter().take(self.count as usize).any(|step| step.op == LOAD && step.a == 1)
    }

    /// Coefficient `i` in the place of the first one.
    pub(crate) fn with_first(&self, i: usize) -> Self {
        let mut own = *self;
        (own.factor[0], own.out[0]) = (self.factor[i], self.out[i]);
        own
    }

    /// The numbers that the host knows, factors first, in the order in which the kernels look for them; zeros are left.
    pub(super) fn take_numbers(&mut self) -> impl Iterator<Item = f64> {
        let constant = |step: &&mut Instruction| step.op == CONSTANT;
        let code = self.code.iter_mut().take(self.count as usize).filter(constant);
        self.factor.iter_mut().chain(code.map(|step| &mut step.constant)).map(std::mem::take)
    }

    /// Whether the host knows them all.
    pub(crate) fn on_host(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_cover_and_stay_small() {
        for (rows, cols) in [(1, 1), (1, 58_720_256), (4096, 3), (70_000, 1), (3, 14_336), (100_000, 100_000)]
        {
            let (x, y) = grid(rows, cols);
            assert!(x >= 1 && y >= 1 && (x * y) as usize <= MAX_BLOCKS, "{rows} x {cols}: {x} x {y}");
        }
    }

    #[test]
    fn layouts_are_those_of_the_kernels() {
        // Natural alignment of double, pointer, int, short, short; the whole is a legal kernel argument (4 KB).
        assert_eq!(size_of::<Instruction>(), 24);
        assert_eq!(std::mem::offset_of!(Coefficients, code), 4 * 8 + 4 * 4 + 8 + 8);
        assert_eq!(size_of::<Coefficients>(), 64 + 40 * 24);
    }
}
