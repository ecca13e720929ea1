//! A step of all ranks.

use super::{Average, DistributedOptimizer, copy_of};
use crate::backend::{Backend, Coefficient, Error, ErrorKind, Matrix, Ranks, Result, Scalar, check_shape};
use crate::distributed::agree::{self, Rates};
use crate::distributed::sharded::{settle, to_text};
use crate::distributed::{Collectives, Gather, Reduce, Sharded};
use crate::optimizer::{ParameterSpec, Prepared};
use crate::rules::non_finite;
use alloc::vec::Vec;

impl<B: Backend, C: Collectives<B>> DistributedOptimizer<B, C> {
    /// One step over `(X, G)` of every parameter in order: X the same on all ranks, G this rank's. A frozen parameter needs none.
    ///
    /// # Errors
    /// On all ranks, before anything changes: shapes, a number of parameters, a gradient that is missing, non-finite or too large (with
    /// [`Config::check_finite`](crate::optimizer::Config::check_finite)), rates that differ, an earlier step that is not whole. Later: those of the device, and
    /// [`ErrorKind::Lost`]; see the type.
    pub fn step(&mut self, parameters: &mut [(&mut B::Matrix, Option<&B::Matrix>)]) -> Result<()> {
        let taken = self.look(parameters).and_then(|norm| self.take(parameters).map(|()| norm));
        let bound = self.reduce(taken, parameters)?;
        let sharded = self.optimizer.backend().clone();
        let rank = sharded.rank();
        let here = self.parts.iter().enumerate().filter(|(_, part)| part.is_here(rank));
        sharded.set_bound(bound);
        let prepared = self.optimizer.prepare(here.map(|(index, part)| (index, &part.gradient)));
        sharded.set_bound(None);
        let prepared = if self.optimizer.steps() == 0 {
            // Memory for the state is had, or not, by each rank alone.
            let voted = sharded.vote(prepared.as_ref().map(|_| ()).map_err(copy_of));
            let prepared = prepared?;
            voted?;
            prepared
        } else {
            prepared?
        };
        let outcome = self.update(&prepared);
        self.gather(parameters, outcome)?;
        for (index, part) in self.parts.iter().enumerate() {
            if part.division.is_some() && !part.is_here(rank) {
                self.optimizer.count_elsewhere(index, |rows, cols| sharded.elsewhere(rows, cols))?;
            }
        }
        self.optimizer.finish(prepared);
        Ok(())
    }

    /// In the place of a [`step`](Self::step) that this rank cannot take, because it has no gradients: tells the others, which meet the error in
    /// their step, and returns it, or that of the first rank that has one.
    pub fn refuse(&mut self, error: Error) -> Error {
        match self.reduce(Err(error), &[]) {
            Err(error) => error,
            Ok(_) => elsewhere(),
        }
    }

    /// What is to be here of the weights; of a gradient that is not reduced this rank's share of the mean.
    fn take(&mut self, parameters: &[(&mut B::Matrix, Option<&B::Matrix>)]) -> Result<()> {
        let (sharded, factor) = (self.optimizer.backend().clone(), self.factor());
        for ((weights, gradient), part) in parameters.iter().zip(&mut self.parts) {
            let Some(division) = part.division.filter(|_| part.is_here(sharded.rank())) else { continue };
            let local = part.weights.local_mut();
            if let (true, Some(gradient)) = (division.is_shared(), gradient) {
                local.copy_from(weights)?;
                part.gradient.local_mut().scale_add(Coefficient::ZERO, factor.into(), gradient)?;
            } else {
                sharded.with_group(|group| group.part(weights, &division, local))?;
            }
        }
        Ok(())
    }

    fn factor(&self) -> f64 {
        match self.average {
            Average::Mean => 1.0 / self.size() as f64,
            Average::Sum => 1.0,
        }
    }

    /// The gradients to where they are wanted, if this rank's are as `taken` says; an upper bound of the norm of all.
    fn reduce(
        &mut self,
        taken: Result<f64>,
        parameters: &[(&mut B::Matrix, Option<&B::Matrix>)],
    ) -> Result<Option<f64>> {
        let (sharded, factor) = (self.optimizer.backend().clone(), self.factor());
        let (norm, outcome) = match taken {
            Ok(norm) => (norm, Ok(())),
            Err(error) => (f64::NAN, Err(error)),
        };
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let mut words = Vec::from([text.len() as u64, norm.to_bits()]);
        words.extend(Rates::of(&self.optimizer).words());
        // In the place of gradients that are missing or have other shapes, in a step that all refuse.
        let mut stand_ins = Vec::new();
        if outcome.is_err() {
            for spec in self.optimizer.parameters() {
                stand_ins.push(sharded.local().zeros(spec.rows, spec.cols, None)?);
            }
        }
        let given = |index: usize| parameters.get(index).and_then(|(_, gradient)| *gradient);
        let mut pieces = Vec::new();
        for (index, part) in self.parts.iter_mut().enumerate().filter(|(_, part)| !part.is_shared()) {
            if let (Some(division), Some(whole)) =
                (&part.division, stand_ins.get(index).or_else(|| given(index)))
            {
                pieces.push(Reduce { whole, part: part.gradient.local_mut(), division });
            }
        }
        let all = sharded.with_group(|group| group.reduce(&words, factor, &mut pieces))?;
        let of_ranks = || all.chunks_exact(words.len());
        let lens: Vec<u64> = of_ranks().map(|words| words[0]).collect();
        settle(&sharded, outcome, &text, &lens)?;
        agree::on_rates(of_ranks().map(|words| &words[2..]))?;
        let sum: f64 = of_ranks().map(|words| f64::from_bits(words[1])).sum();
        // Rounded up: a sum of squares is off by no more than one part in 2^20.
        let bound = factor * sum * (1.0 + 1.0 / f64::from(1 << 20));
        Ok(self.optimizer.config().check_finite.then_some(bound))
    }

    /// What this rank finds wrong with what it is given; the norm of all its gradients.
    fn look(&self, parameters: &[(&mut B::Matrix, Option<&B::Matrix>)]) -> Result<f64> {
        self.optimizer.check_whole("step")?;
        if parameters.len() != self.parts.len() {
            let (given, wanted) = (parameters.len(), self.parts.len());
            return Err(Error::shape("step (number of parameters)", (wanted, 1), (given, 1)));
        }
        let mut squares = 0.0;
        for (((weights, gradient), part), spec) in
            parameters.iter().zip(&self.parts).zip(self.optimizer.parameters())
        {
            if part.division.is_some() {
                let square = self.look_at(spec, weights, *gradient);
                squares += square.map_err(|error| error.for_parameter(&spec.name))?;
            }
        }
        Ok(libm::sqrt(squares))
    }

    /// The same of one; the square of an upper bound of its norm.
    fn look_at(
        &self,
        spec: &ParameterSpec,
        weights: &B::Matrix,
        gradient: Option<&B::Matrix>,
    ) -> Result<f64> {
        let hint = "all ranks need one for every parameter that is not frozen";
        let gradient = gradient.ok_or_else(|| Error::new("step", ErrorKind::MissingGradient { hint }))?;
        let shape = (spec.rows, spec.cols);
        check_shape("step", shape, weights.shape())?;
        check_shape("step", shape, gradient.shape())?;
        if !self.optimizer.config().check_finite {
            return Ok(f64::INFINITY);
        }
        let square = gradient.dot(gradient)?.read()?;
        if square.is_finite() && square > 0.0 {
            return Ok(square);
        }
        // Squares may have left the range, or vanished.
        let largest = gradient.max_abs()?.read()?;
        if largest.is_finite() {
            Ok(largest * largest * (spec.rows * spec.cols) as f64)
        } else {
            Err(non_finite())
        }
    }

    /// The steps of what is here: first what the ranks step together.
    fn update(&mut self, prepared: &Prepared<Sharded<B, C>>) -> Result<()> {
        let rank = self.rank();
        for common in [true, false] {
            let parts = self.parts.iter_mut().enumerate();
            let wanted = parts.filter(|(_, part)| part.is_here(rank) && part.is_common() == common);
            let mut pairs: Vec<_> =
                wanted.map(|(index, part)| (index, &mut part.weights, &part.gradient)).collect();
            self.optimizer.update_all(&mut pairs, prepared)?;
        }
        Ok(())
    }

    /// The new weights to all ranks, if all have made theirs.
    fn gather(
        &mut self,
        parameters: &mut [(&mut B::Matrix, Option<&B::Matrix>)],
        outcome: Result<()>,
    ) -> Result<()> {
        let sharded = self.optimizer.backend().clone();
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let mut pieces = Vec::new();
        for ((whole, _), part) in parameters.iter_mut().zip(&self.parts) {
            if let Some(division) = part.division.as_ref().filter(|division| !division.is_shared()) {
                pieces.push(Gather { part: part.weights.local(), whole: &mut **whole, division });
            }
        }
        let mut lens = Vec::new();
        let mut accept = |words: &[u64]| {
            lens.extend_from_slice(words);
            if words.iter().all(|len| *len == 0) { Ok(()) } else { Err(elsewhere()) }
        };
        let gathered =
            sharded.with_group(|group| group.gather(&[text.len() as u64], &mut pieces, &mut accept));
        if lens.iter().any(|len| *len > 0) {
            return settle(&sharded, outcome, &text, &lens);
        }
        outcome.and(gathered)?;
        // Every rank has those of the others.
        let shared = parameters.iter_mut().zip(&self.parts).filter(|(_, part)| part.is_shared());
        { shared }.try_for_each(|((whole, _), part)| whole.copy_from(part.weights.local()))
    }
}

fn elsewhere() -> Error {
    Error::new("step", ErrorKind::State { reason: "the step failed on a rank" })
}
