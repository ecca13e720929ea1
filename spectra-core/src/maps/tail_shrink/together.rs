//! The tail shrink of several matrices, whose messages go together.

use super::TailShrink;
use super::shrink::{Begun, begin, end, tail_shrink};
use crate::backend::{Backend, Matrix, Result};
use crate::linalg::{Iterating, Workspace};
use crate::maps::{MapItem, Mapped};
use crate::state::SUBSPACE;
use alloc::vec::Vec;

/// Several directions: those that are distributed over ranks are iterated in step.
pub(super) fn shrink_all<B: Backend>(
    options: &TailShrink,
    all: &mut [MapItem<'_, B>],
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let _scope = workspace.scope();
    let mut caches: Vec<_> = all.iter_mut().map(|item| item.state.take(SUBSPACE)).collect();
    let done = shrink_together(options, all, &mut caches, workspace);
    for (item, cache) in all.iter_mut().zip(caches) {
        if let Some(cache) = cache {
            item.state.put(SUBSPACE, cache);
        }
    }
    done
}

fn shrink_together<B: Backend>(
    options: &TailShrink,
    all: &mut [MapItem<'_, B>],
    caches: &mut [Option<B::Matrix>],
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let mut waiting = Vec::new();
    for (item, cache) in all.iter_mut().zip(caches) {
        let (m, step) = (&mut *item.direction, item.moment.step);
        if m.layout() == 0 && m.column_layout() == 0 {
            item.mapped = Some(Mapped::Shaped(tail_shrink(options, m, item.update, cache, step, workspace)?));
            continue;
        }
        match begin(options, m, item.update, cache, step, workspace)? {
            Begun::Done(shaped) => item.mapped = Some(Mapped::Shaped(shaped)),
            Begun::Iterate(v, update) => waiting.push((item, v, update)),
        }
    }
    let mut iterating = Vec::with_capacity(waiting.len());
    for (item, v, update) in &mut waiting {
        let (m, v) = (&mut *item.direction, &mut **v);
        iterating.push(Iterating::<B>::begin(&options.power, m, *update, v, workspace)?);
    }
    options.power.iterate_together(&mut iterating, workspace)?;
    let subspaces: Vec<_> = iterating.into_iter().map(|one| one.finish(workspace)).collect();
    for ((item, v, _), subspace) in waiting.into_iter().zip(subspaces) {
        item.mapped = Some(Mapped::Shaped(end(options, item.direction, v, subspace?, workspace)?));
    }
    Ok(())
}
