//! Restoring a state, from burn's records or from elsewhere: every form is a header of the core's and numbers.

use super::Hybrid;
use super::hybrid::Member;
use super::layout::Layout;
use super::record::pack;
use super::shared::Arithmetic;
use super::state::{Buffers, Typed, WrittenRule};
use super::turn::{Prepared, Turn};
use crate::{BurnBackend, BurnMatrix};
use burn::optim::OptimizerRecord;
use burn::tensor::{DType, Device};
use spectra_core::backend::{Error, Matrix, Result};
use spectra_core::optimizer::policy::{Matches, Place};
use spectra_core::optimizer::{
    BlockState, Missing, RestoreOptions, Restored, STATE_VERSION, SavedParameter, StateHeader, differences,
};
use spectra_core::rules::Weights;

/// The numbers of a saved state.
pub(super) trait Numbers {
    /// A buffer of a matrix under its saved name, on the CPU device.
    fn matrix<E: Arithmetic>(
        &mut self,
        parameter: &str,
        buffer: &str,
        shape: (usize, usize),
    ) -> Result<BurnMatrix<E>>;

    /// An error if there is more than anybody can have asked for.
    fn finish(self, missing: Missing) -> Result<()>;
}

impl Hybrid {
    /// Replaces the state by a saved one. All or nothing.
    pub(super) fn restore(
        &mut self,
        header: &StateHeader,
        options: &RestoreOptions<'_>,
        mut numbers: impl Numbers,
    ) -> Result<Restored> {
        let spectral = self.spectral.clone();
        let live = |member: &Member| member.assigned.is_some();
        let matrices = self.members.iter().flat_map(|m| m.names().map(move |name| (name, live(m))));
        let Matches { saved, unused } = Matches::new(header, options, matrices.clone())?;
        let (mut states, mut rest) = (Vec::new(), &saved[..]);
        for member in &self.members {
            let (own, others) = rest.split_at(member.names().count());
            rest = others;
            let state = match member.found.dtype {
                DType::F64 => member.restored(header, own, &mut numbers)?.map(Typed::Double),
                _ => member.restored(header, own, &mut numbers)?.map(Typed::Single),
            };
            states.extend(state.map(|state| (member, state)));
        }
        numbers.finish(options.missing)?;
        let names = |is_loaded: bool| {
            let found = matrices.clone().zip(&saved).filter(move |(_, saved)| saved.is_some() == is_loaded);
            found.map(|((name, _), _)| name.into()).collect()
        };
        let (loaded, fresh) = (names(true), names(false));
        let bytes = pack(&states).into_bytes().map_err(|e| Error::device("load", e))?;
        let record = OptimizerRecord::from_bytes(bytes).map_err(|e| Error::device("load", e.to_string()))?;
        let turn = Turn::begin(spectral.shared(), Prepared::default());
        let optimizer = self.optimizer.clone().load_record(record);
        if let Some(error) = turn.end().failed {
            return Err(error);
        }
        self.optimizer = optimizer;
        self.broken = None;
        self.steps = header.steps;
        let mut told = Vec::new();
        if let Some(run) = &header.run {
            self.factors.clip.restored = run.clip_factor;
            self.factors.pre_clip.restored = run.pre_clip_factor;
            told = differences(&run.settings, &self.run());
        }
        let factors = (self.factors.clip.value(), self.factors.pre_clip.value());
        let mut restored = Restored::new(self.steps, factors, told);
        (restored.loaded, restored.fresh, restored.unused) = (loaded, fresh, unused);
        Ok(restored)
    }
}

impl Member {
    /// The state that is made of these, one for each of its matrices; `None` if it has taken no step.
    fn restored<E: Arithmetic>(
        &self,
        header: &StateHeader,
        saved: &[Option<&SavedParameter>],
        numbers: &mut impl Numbers,
    ) -> Result<Option<Buffers<E>>> {
        let backend = BurnBackend::<E>::new(&Device::flex());
        let mut blocks = Vec::with_capacity(saved.len());
        for (at, ((name, shape), saved)) in self.names().zip(self.shapes()).zip(saved).enumerate() {
            let Some(saved) = saved else {
                blocks.push(BlockState::default());
                continue;
            };
            let place = match &self.assigned {
                Some(assigned) => assigned.place::<E>(self.found.dtype, shape),
                None => Place { shape, rule: None, weights: Weights::Plain },
            };
            let load = |buffer: &'static str, rows, cols| numbers.matrix(&saved.name, buffer, (rows, cols));
            let block = place.state((header.version, saved), &backend, load);
            let BlockState { state, steps } = block.map_err(|error| error.for_parameter(name))?;
            let is_turned = self.is_turned(at);
            // Stored as its model is, so that entries that meet lie in the same order.
            let state = state.try_map(|matrix| match matrix.shape() {
                (rows, _) if is_turned && rows == shape.0 => turned(&backend, matrix),
                _ => Ok(matrix),
            })?;
            blocks.push(BlockState { state, steps });
        }
        let Some(assigned) = self.assigned.as_ref().filter(|_| blocks.iter().any(|b| b.steps > 0)) else {
            return Ok(None);
        };
        let rule = WrittenRule::new(assigned.rule::<E>(), STATE_VERSION);
        Ok(Some(Buffers { blocks, model_step: header.steps, rule }))
    }

    /// Whether the memory of a matrix in it is that of the transpose.
    fn is_turned(&self, block: usize) -> bool {
        let is_transposed = self.view.layout == Layout::InByOut && self.view.rows > 1;
        is_transposed != self.blocks.get(block).is_some_and(|block| block.place().transposed)
    }
}

/// The same matrix, its entries column by column in memory.
fn turned<E: Arithmetic>(backend: &BurnBackend<E>, matrix: BurnMatrix<E>) -> Result<BurnMatrix<E>> {
    if matrix.is_transposed() {
        return Ok(matrix);
    }
    let (rows, cols) = matrix.shape();
    let in_order = matrix.into_tensor().transpose().reshape([rows * cols]);
    backend.transposed(in_order.reshape([cols, rows]), (rows, cols))
}
