//! The table of the host's numbers on the device, and how they come there: by one copy, from pinned memory, without a wait.

use crate::checked::Device;
use crate::checked::memory::Buffer;
use crate::error::CudaError;
use crate::raw::pinned::Pinned;
use cudarc::driver::sys::CUdeviceptr;

/// Numbers that the table has room for at least: fifty launches or so.
const LEAST: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    table: Option<(Buffer, usize)>,
    /// Where copies come from, one for each step that the host is ahead of the device.
    stages: Vec<Pinned>,
}

impl Numbers {
    /// Makes room; whether the table is another one now.
    pub(super) fn reserve(&mut self, device: &Device, count: usize) -> Result<bool, CudaError> {
        if self.table.as_ref().is_some_and(|(_, room)| count <= *room) {
            return Ok(false);
        }
        let room = count.next_power_of_two().max(LEAST);
        self.table = Some((device.allocate::<u64>(room)?, room));
        Ok(true)
    }

    /// Where they are on the device.
    pub(super) fn place(&self) -> CUdeviceptr {
        self.table.as_ref().map_or(0, |(buffer, _)| buffer.pointer())
    }

    /// Queues the copy of these numbers, for which there is [room](Self::reserve).
    pub(super) fn send(&mut self, device: &Device, numbers: &[u64]) -> Result<(), CudaError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let free = self.stages.iter().position(Pinned::is_free);
        let at = match free {
            Some(at) if self.stages[at].len() >= numbers.len() => at,
            found => {
                let stage =
                    Pinned::new(device.stream().context(), numbers.len().next_power_of_two().max(LEAST))?;
                // One that is free and too small goes.
                found.into_iter().for_each(|at| drop(self.stages.swap_remove(at)));
                self.stages.push(stage);
                self.stages.len() - 1
            }
        };
        let place = self.place();
        // SAFETY: the table has room for them.
        unsafe { self.stages[at].send(numbers, place, device.stream()) }
    }
}
