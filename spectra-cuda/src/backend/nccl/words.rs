//! Words of all ranks, and whether all have made the same calls.

use super::Nccl;
use super::scratch::Layout;
use crate::backend::CudaElement;
use crate::error::{At, CudaError};
use crate::raw::nccl::Message;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::Result;
use spectra_core::distributed::Lost;

impl<E: CudaElement> Nccl<E> {
    /// Bytes for words beside a call: of every rank the checksum of its calls, then its words. None if there are no words.
    pub(super) fn words_bytes(&self, mine: &[u64]) -> usize {
        if mine.is_empty() { 0 } else { 8 * (1 + mine.len()) }
    }

    /// Brings the words to their place in scratch memory.
    pub(super) fn upload_words(
        &self,
        operation: &'static str,
        mine: &[u64],
        at: CUdeviceptr,
    ) -> Result<Message> {
        let bytes = self.words_bytes(mine);
        let own = at + (self.rank * bytes) as u64;
        if bytes > 0 {
            let words = std::iter::once(self.calls.finish()).chain(mine.iter().copied()).collect();
            // SAFETY: `at` has room for the words of all ranks.
            unsafe { self.device.upload::<u64>(own, words) }.at(operation)?;
        }
        Ok(Self::bytes(own, bytes))
    }

    /// Waits for the words of all ranks.
    pub(super) fn download_words(
        &self,
        operation: &'static str,
        mine: &[u64],
        at: CUdeviceptr,
    ) -> Result<Vec<u64>> {
        if mine.is_empty() {
            return Ok(Vec::new());
        }
        let each = 1 + mine.len();
        let mut all = vec![0; self.size * each];
        self.link.wait().at(operation)?;
        // SAFETY: `at` holds the words of all ranks; the host waits before the borrow ends.
        unsafe { self.device.download::<u64>(at, &mut all) }.at(operation)?;
        self.device.wait().at(operation)?;
        if let Some(other) = all.chunks_exact(each).position(|words| words[0] != all[self.rank * each]) {
            return Err(CudaError::Lost(Lost::other_call(other)).at(operation));
        }
        Ok(all.chunks_exact(each).flat_map(|words| &words[1..]).copied().collect())
    }

    pub(super) fn exchange_words(&mut self, operation: &'static str, mine: &[u64]) -> Result<Vec<u64>> {
        let mut layout = Layout::default();
        layout.take(self.size * self.words_bytes(mine));
        let at = self.scratch(operation, &layout)?;
        let words = self.upload_words(operation, mine, at)?;
        // SAFETY: the scratch memory has been made for them.
        unsafe { self.link.launch(|calls| calls.all_gather(words, at)) }.at(operation)?;
        self.download_words(operation, mine, at)
    }
}
