//! Parameters too small to keep all cores busy, several at a time.

use super::Optimizer;
use super::Prepared;
use super::member::Member;
use super::plan::Rule;
use super::progress::Progress;
use super::step::{Parts, Update, check_pair};
use crate::backend::{Backend, Error, Result};
use crate::linalg::Workspace;

/// Up to so many entries a parameter is updated by one thread beside others. Larger ones take turns, on all threads.
///
/// What that costs in memory: the parameters are dealt out to the threads in the same way at every step, and each thread has
/// temporaries of its own for its share, a few times 4 MiB in `f32` at most, and on the `faer` kernels a buffer as long as
/// the longest that its share asks for, k (m + n) numbers. All of them go with the optimizer; faer's packing buffer stays
/// with the thread.
const SMALL: usize = 1 << 20;

/// A pair that is to be updated, if it is: `(X, G)`.
type Pair<'a, M> = Option<(&'a mut M, &'a M)>;

impl<B> Optimizer<B>
where
    B: Backend + Send,
    B::Matrix: Send + Sync,
    B::Scalar: Send + Sync,
{
    /// [`step`](Self::step) with small parameters side by side on the threads of rayon's pool, each by itself and none in a
    /// [batch](crate::rules::UpdateRule::batching): the same result, to
    /// the bit on a backend whose results do not depend on the number of threads. For backends that compute when they are called.
    ///
    /// On the `faer` backend nothing is allocated after the first call in a pool, whichever parameters come together; but
    /// for rayon, which takes a block of 1.5 KiB for every 63 calls from a thread outside its pool, and doubles a queue that gets longer than ever.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn par_step(&mut self, parameters: &mut [(&mut B::Matrix, &B::Matrix)]) -> Result<()> {
        let prepared = self.prepare_all(parameters)?;
        self.par_update(parameters, |(weights, gradient)| Some((weights, gradient)), &prepared)?;
        self.finish(prepared);
        Ok(())
    }

    /// [`update`](Self::update) of all parameters, small ones side by side. `items` has one entry for each parameter;
    /// `pair` finds `(X, G)` in it, or nothing to leave that parameter out.
    ///
    /// # Errors
    /// Another number of items and shapes, with nothing changed; then as [`update`](Self::update), whose first error is returned.
    pub fn par_update<T: Send>(
        &mut self,
        items: &mut [T],
        pair: impl for<'a> Fn(&'a mut T) -> Pair<'a, B::Matrix> + Sync,
        prepared: &Prepared<B>,
    ) -> Result<()> {
        self.check_not_failed("par_update")?;
        if items.len() != self.members.len() {
            let (wanted, given) = (self.members.len(), items.len());
            return Err(Error::shape("par_update (number of items)", (wanted, 1), (given, 1)));
        }
        let mut last = None;
        for (index, (member, item)) in self.members.iter().zip(&mut *items).enumerate() {
            if let Some((weights, gradient)) = pair(item) {
                check_pair(&member.spec, weights, gradient)?;
                last = Some(index);
            }
        }
        let Some(last) = last else { return Ok(()) };
        self.progress = Progress::Begun(last);
        let outcome = self.update_side_by_side(items, pair, prepared);
        if let Err(error) = &outcome {
            let failed = |member: &Member<B>| Some(&*member.spec.name) == error.parameter();
            self.progress = Progress::Failed(self.members.iter().position(failed).unwrap_or(last));
        }
        outcome
    }

    fn update_side_by_side<T: Send>(
        &mut self,
        items: &mut [T],
        pair: impl for<'a> Fn(&'a mut T) -> Pair<'a, B::Matrix> + Sync,
        prepared: &Prepared<B>,
    ) -> Result<()> {
        let Parts { update, members, workspace, beside, .. } = self.parts(prepared);
        let threads = rayon::current_num_threads();
        let first = beside.len() < threads;
        if first {
            beside.resize_with(threads, || Workspace::new(workspace.backend().clone()));
        }
        let workspaces = &mut beside[..threads];
        Share { first: 0, members: &mut *members, items: &mut *items, workspaces }.run(&update, &pair)?;
        if first {
            crate::faer::provide();
        }
        for (index, (member, item)) in members.iter_mut().zip(items).enumerate() {
            if cost(member).is_none()
                && let Some((weights, gradient)) = pair(item)
            {
                update.apply(index, member, weights, gradient, workspace)?;
            }
        }
        Ok(())
    }
}

/// About how long a small member takes; none if it is large. The split must not depend on the step, so that each
/// workspace has its temporaries after the first.
fn cost<B: Backend>(member: &Member<B>) -> Option<usize> {
    let entries = member.spec.rows.saturating_mul(member.spec.cols);
    let passes = match member.spec.rule {
        Rule::Spectral => 16,
        Rule::Elementwise => 1,
        Rule::Frozen => 0,
    };
    (entries <= SMALL).then(|| passes * entries)
}

/// Members next to each other, and the workspaces of the threads that share them.
struct Share<'a, B: Backend, T> {
    first: usize,
    members: &'a mut [Member<B>],
    items: &'a mut [T],
    workspaces: &'a mut [Workspace<B>],
}

impl<B, T> Share<'_, B, T>
where
    B: Backend + Send,
    B::Matrix: Send + Sync,
    B::Scalar: Send + Sync,
    T: Send,
{
    fn run<P>(self, update: &Update<'_, B>, pair: &P) -> Result<()>
    where
        P: for<'a> Fn(&'a mut T) -> Pair<'a, B::Matrix> + Sync,
    {
        let Self { first, members, items, workspaces } = self;
        if let [workspace] = workspaces {
            for (i, (member, item)) in members.iter_mut().zip(items).enumerate() {
                if cost(member).is_some()
                    && let Some((weights, gradient)) = pair(item)
                {
                    update.apply(first + i, member, weights, gradient, workspace)?;
                }
            }
            return Ok(());
        }
        let threads = workspaces.len();
        let (here, there) = workspaces.split_at_mut(threads / 2);
        let at = split(members, here.len(), threads);
        let (members0, members1) = members.split_at_mut(at);
        let (items0, items1) = items.split_at_mut(at);
        let a = Share { first, members: members0, items: items0, workspaces: here };
        let b = Share { first: first + at, members: members1, items: items1, workspaces: there };
        let (a, b) = rayon::join(|| a.run(update, pair), || b.run(update, pair));
        a.and(b)
    }
}

/// How many of the members have about `part / whole` of the cost.
fn split<B: Backend>(members: &[Member<B>], part: usize, whole: usize) -> usize {
    let costs = || members.iter().map(|member| cost(member).unwrap_or(0) as f64);
    let wanted = costs().sum::<f64>() * part as f64 / whole as f64;
    let mut sum = 0.0;
    costs()
        .take_while(|cost| {
            // A member goes where more than half of it belongs.
            let here = sum + cost / 2.0 <= wanted;
            sum += cost;
            here
        })
        .count()
}
