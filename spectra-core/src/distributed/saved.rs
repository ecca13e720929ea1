//! Whole states: saved by any number of ranks, loaded by any other.

use super::{Axis, Collectives, DistributedOptimizer, Division, Gather, Sharded, ShardedMatrix};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Ranks, Result};
use crate::optimizer::{BlockState, RestoreOptions, Restored, Snapshot, StateHeader};
use crate::state::MASTER;
use alloc::{string::String, vec, vec::Vec};

impl<B: Backend, C: Collectives<B>> DistributedOptimizer<B, C> {
    /// The whole state, on rank `root`; `None` on the others, which must call it, too. It is what one process would have saved, matrix by
    /// matrix under its name; no rank holds more than one whole buffer besides. **Waits** for the device.
    ///
    /// # Errors
    /// On all ranks: an earlier step that is not whole on one, a NaN or an infinity in a buffer; those of the backend.
    pub fn snapshot(&mut self, root: usize) -> Result<Option<Snapshot<B::Element>>> {
        let sharded = self.optimizer.backend().clone();
        let header = self.header();
        let voted = sharded.vote(header.as_ref().map(|_| ()).map_err(super::optimizer::copy_of));
        let header = header?;
        voted?;
        let mut buffers: Vec<(String, &'static str, Vec<B::Element>)> = Vec::new();
        let mut finite = Ok(());
        for (index, saved) in header.parameters.iter().enumerate().filter(|(_, saved)| saved.steps > 0) {
            let (Some(division), Some(block)) = (self.division(index), self.optimizer.state(index)) else {
                continue;
            };
            for spec in self.optimizer.buffers_of(index) {
                let values = whole(&sharded, block.state.named(spec.name)?, division.owner())?;
                if finite.is_ok() && !values.iter().all(|x| x.widen().is_finite()) {
                    let error = Error::new("save", ErrorKind::NonFinite { what: spec.name });
                    finite = Err(error.for_parameter(&saved.name));
                }
                if sharded.rank() == root {
                    buffers.push((saved.name.as_ref().into(), spec.name, values));
                }
            }
        }
        finite?;
        let buffers = buffers
            .iter_mut()
            .map(|(parameter, name, values)| (parameter.as_str(), *name, core::mem::take(values)));
        (sharded.rank() == root).then(|| Snapshot::new(header, buffers)).transpose()
    }

    /// The header, with the buffers in the order of the rules, which all of them exist.
    fn header(&self) -> Result<StateHeader> {
        let mut header = self.optimizer.header()?;
        for (index, saved) in header.parameters.iter_mut().enumerate().filter(|(_, saved)| saved.steps > 0) {
            let specs = self.optimizer.buffers_of(index);
            let at = |name: &str| specs.iter().position(|spec| *spec.name == *name);
            if saved.buffers.len() != specs.len()
                || saved.buffers.iter().any(|buffer| at(&buffer.name).is_none())
            {
                let reason = "the rule has not made a buffer that it speaks of";
                return Err(Error::new("save", ErrorKind::State { reason }).for_parameter(&saved.name));
            }
            saved.buffers.sort_by_key(|buffer| at(&buffer.name));
        }
        Ok(header)
    }

    /// [`snapshot`](Self::snapshot) to a safetensors file that rank 0 writes, in the way of [`Optimizer::save`](crate::optimizer::Optimizer::save); all
    /// ranks must call it.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); on all ranks those of rank 0's file system, with the path.
    #[cfg(feature = "safetensors")]
    pub fn save(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let written = self.snapshot(0)?.map_or(Ok(()), |state| state.save(path));
        self.optimizer.backend().vote(written)
    }

    /// Restores what [`save`](Self::save), or one process, has written to a file that every rank can read.
    ///
    /// # Errors
    /// As [`load_snapshot`](Self::load_snapshot); on all ranks those of one's file system, with the path.
    #[cfg(feature = "safetensors")]
    pub fn load(&mut self, path: impl AsRef<std::path::Path>) -> Result<Restored> {
        let read = Snapshot::<B::Element>::load(path);
        let voted =
            self.optimizer.backend().vote(read.as_ref().map(|_| ()).map_err(super::optimizer::copy_of));
        let read = read?;
        voted?;
        self.load_snapshot(&read)
    }

    /// A buffer of a parameter, whole on all ranks, which must all ask for it; `None` before its first step, or if its rule has none of this name.
    ///
    /// # Errors
    /// Those of the backend; [`ErrorKind::Lost`].
    pub fn buffer(&mut self, index: usize, name: &str) -> Result<Option<Vec<B::Element>>> {
        let (Some(division), Some(block)) = (self.division(index), self.optimizer.state(index)) else {
            return Ok(None);
        };
        let Some(buffer) = block.state.get(name).filter(|_| block.steps > 0) else { return Ok(None) };
        whole(self.optimizer.backend(), buffer, division.owner()).map(Some)
    }

    /// What the ranks' gradients of a parameter came to in the last step, whole on all ranks, which must all ask for it.
    ///
    /// # Errors
    /// Those of the backend; [`ErrorKind::Lost`].
    pub fn gradient(&mut self, index: usize) -> Result<Option<Vec<B::Element>>> {
        let Some((part, division)) = self.parts.get(index).and_then(|part| Some((part, part.division?)))
        else {
            return Ok(None);
        };
        let (rows, cols) = division.shape();
        if part.is_shared() {
            let mut values = vec![B::Element::narrow(0.0); rows * cols];
            part.gradient.read(&mut values)?;
            return Ok(Some(values));
        }
        let sharded = self.optimizer.backend();
        let mut all = sharded.local().zeros(rows, cols, None)?;
        let piece = Gather { part: part.gradient.local(), whole: &mut all, division: &division };
        sharded.with_group(|group| group.gather(&[], &mut [piece], &mut |_| Ok(())))?;
        let mut values = vec![B::Element::narrow(0.0); rows * cols];
        all.read(&mut values)?;
        Ok(Some(values))
    }

    /// Restores a state that any number of ranks, or one process, has saved; every rank is given the same one.
    ///
    /// # Errors
    /// As [`Optimizer::load_snapshot`](crate::optimizer::Optimizer::load_snapshot), on all ranks, which are left as they were; ranks that
    /// were given different states.
    pub fn load_snapshot<E: Element>(&mut self, snapshot: &Snapshot<E>) -> Result<Restored> {
        self.load_snapshot_with(snapshot, &RestoreOptions::default())
    }

    /// [`load_snapshot`](Self::load_snapshot) into a model that has changed; see
    /// [`Optimizer::restore_with`](crate::optimizer::Optimizer::restore_with).
    ///
    /// # Errors
    /// As there.
    pub fn load_snapshot_with<E: Element>(
        &mut self,
        snapshot: &Snapshot<E>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        let sharded = self.optimizer.backend().clone();
        let parts = &self.parts;
        let checked = self.optimizer.check_snapshot(snapshot, options, |index, block| {
            let Some(division) = parts.get(index).and_then(|part| part.division) else { return Ok(block) };
            let BlockState { mut state, steps } = block;
            // Weights, and as whole on every rank as those.
            let master = if division.is_shared() { state.take(MASTER) } else { None };
            let mut state = state.try_map(|buffer| distribute(&sharded, buffer, &division))?;
            if let Some(master) = master {
                state.put(MASTER, master);
            }
            Ok(BlockState { state, steps })
        });
        let voted = sharded.vote(checked.as_ref().map(|_| ()).map_err(super::optimizer::copy_of));
        let checked = checked?;
        voted?;
        let sums = sharded.with_group(|group| group.words(&[snapshot.checksum()]))?;
        if let Some(rank) = sums.iter().position(|sum| Some(sum) != sums.first()) {
            return Err(Error::new("load", ErrorKind::Disagree { rank, what: "saved state".into() }));
        }
        Ok(self.optimizer.take_state(snapshot.header(), checked))
    }
}

/// All values of a buffer, on all ranks.
fn whole<B: Backend, C: Collectives<B>>(
    sharded: &Sharded<B, C>,
    buffer: &ShardedMatrix<B, C>,
    owner: Option<usize>,
) -> Result<Vec<B::Element>> {
    let (rows, cols) = buffer.shape();
    let mut values = vec![B::Element::narrow(0.0); rows * cols];
    let Some(owner) = owner.filter(|_| sharded.size() > 1) else {
        buffer.read(&mut values)?;
        return Ok(values);
    };
    let backend = sharded.local();
    let nothing = backend.zeros(0, cols, None)?;
    let part = if owner == sharded.rank() { buffer.local() } else { &nothing };
    let mut all = backend.zeros(rows, cols, None)?;
    let division = Division::owned((rows, cols), owner, sharded.size());
    let piece = Gather { part, whole: &mut all, division: &division };
    sharded.with_group(|group| group.gather(&[], &mut [piece], &mut |_| Ok(())))?;
    all.read(&mut values)?;
    Ok(values)
}

/// What is to be here of a buffer that is whole, of a matrix with this division: nothing of another rank's matrix; of a divided one a part
/// if the buffer has its shape, or a row for each of its divided columns; of one at low rank a summand if the buffer has its shape.
fn distribute<B: Backend, C: Collectives<B>>(
    sharded: &Sharded<B, C>,
    buffer: ShardedMatrix<B, C>,
    division: &Division,
) -> Result<ShardedMatrix<B, C>> {
    let (rows, cols) = buffer.shape();
    if let Some(owner) = division.owner() {
        return if owner == sharded.rank() { Ok(buffer) } else { sharded.elsewhere(rows, cols) };
    }
    if division.is_shared() {
        if (rows, cols) != division.shape() {
            return Ok(buffer);
        }
        // The first rank keeps it.
        let mut summand = buffer.into_summand();
        if sharded.rank() > 0 {
            summand.write(&vec![B::Element::narrow(0.0); rows * cols])?;
        }
        return Ok(summand);
    }
    let axis = match division.axis() {
        axis if (rows, cols) == division.shape() => axis,
        Axis::Cols if rows == division.shape().1 => Axis::Rows,
        Axis::Rows | Axis::Cols => return Ok(buffer),
    };
    let division = Division::even((rows, cols), axis, sharded.size());
    let (m, n) = division.part(sharded.rank());
    let mut part = sharded.local().zeros(m, n, None)?;
    sharded.with_group(|group| group.part(buffer.local(), &division, &mut part))?;
    sharded.divided((rows, cols), axis, part)
}
