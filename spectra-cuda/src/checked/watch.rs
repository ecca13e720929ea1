//! Work that may have no end by itself.

use super::Device;
use super::memory::lock;
use crate::error::CudaError;
use std::fmt::Debug;
use std::sync::{Arc, Weak};

/// Somebody whose work on the stream waits for others, who may not come.
pub(crate) trait Watch: Debug + Send + Sync {
    /// Waits until the stream has done what is queued, or ends the work when the others have had their time; an error then, once.
    fn wait(&self) -> Result<(), CudaError>;
}

impl Device {
    /// From now on, as long as `watch` lives, the host waits by it.
    pub(crate) fn watched_by(&self, watch: &Arc<impl Watch + 'static>) {
        let watch: Weak<dyn Watch> = Arc::downgrade(watch) as _;
        let mut watches = lock(&self.watches);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(watch);
    }

    /// Before the host waits for the stream.
    pub(super) fn wait_watched(&self) -> Result<(), CudaError> {
        let watches: Vec<_> = lock(&self.watches).iter().filter_map(Weak::upgrade).collect();
        watches.iter().try_for_each(|watch| watch.wait())
    }
}
