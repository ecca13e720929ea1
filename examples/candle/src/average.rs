//! An exponential moving average of the weights, which is validated in their place.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, Var, bail};
use candle_nn::VarMap;

use crate::learner::map_of;

/// What its tensors are called in a checkpoint, before the weight's name.
const PREFIX: &str = "average.";
/// And the number of steps that were taken in.
const TAKEN: &str = "average:steps";

/// `A_t = (1 - s) A_{t-1} + s W_t`, `s = max(1 / t, 1 / memory)`: the mean of the weights after each step until the memory is full, an
/// exponential average from then on, so that the initial weights are not in it. `memory` is in steps.
#[derive(Debug)]
pub struct Average {
    named: Vec<(String, Var)>,
    memory: f64,
    /// Steps.
    taken: u32,
}

impl Average {
    /// Of these weights, with a memory of `share` of `steps`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(weights: &[(String, Var)], share: f64, steps: usize) -> Result<Self> {
        let copy =
            |(name, var): &(String, Var)| Ok((name.clone(), Var::from_tensor(&var.as_tensor().copy()?)?));
        let named = weights.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { named, memory: (share * steps as f64).max(1.0), taken: 0 })
    }

    /// The averages under the weights' names, for a model of its own.
    ///
    /// # Errors
    /// If a thread panicked while it held the map.
    pub fn weights(&self) -> Result<VarMap> {
        map_of(&self.named)
    }

    /// Takes in the weights after a step.
    ///
    /// # Errors
    /// Those of candle.
    pub fn take_in(&mut self, weights: &[(String, Var)]) -> Result<()> {
        self.taken += 1;
        let share = (1.0 / self.memory).max(1.0 / f64::from(self.taken));
        for ((_, average), (_, weight)) in self.named.iter().zip(weights) {
            average.set(&((average.as_tensor() * (1.0 - share))? + (weight.as_tensor() * share)?)?)?;
        }
        Ok(())
    }

    /// For a checkpoint.
    ///
    /// # Errors
    /// Those of candle.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let named = |(name, var): &(String, Var)| (format!("{PREFIX}{name}"), var.as_tensor().clone());
        let mut tensors: HashMap<_, _> = self.named.iter().map(named).collect();
        tensors.insert(TAKEN.into(), Tensor::new(self.taken, &Device::Cpu)?);
        Ok(tensors)
    }

    /// From a checkpoint.
    ///
    /// # Errors
    /// If one is missing or of another shape.
    pub fn load(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let saved = |name: &str| match tensors.get(name) {
            Some(saved) => Ok(saved),
            None => bail!("{name} is missing"),
        };
        for (name, var) in &self.named {
            var.set(saved(&format!("{PREFIX}{name}"))?)?;
        }
        self.taken = saved(TAKEN)?.to_scalar()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_mean_at_first_and_forgets_then() {
        let weight = Var::from_slice(&[7f64], 1, &Device::Cpu).expect("a weight");
        let named = [("w".to_string(), weight.clone())];
        let mut average = Average::new(&named, 0.5, 4).expect("an average");
        let value = |average: &Average| average.named[0].1.to_vec1::<f64>().expect("numbers")[0];
        let mut found = Vec::new();
        for step in 1..=4 {
            weight.set(&Tensor::from_slice(&[step as f64], 1, &Device::Cpu).expect("a tensor")).expect("set");
            average.take_in(&named).expect("taken in");
            found.push(value(&average));
        }
        // 1; (1 + 2) / 2; from there on halfway.
        assert_eq!(found, [1.0, 1.5, 2.25, 3.125]);
        let mut other = Average::new(&named, 0.5, 4).expect("an average");
        other.load(&average.tensors().expect("tensors")).expect("loaded");
        assert_eq!((value(&other), other.taken), (3.125, 4));
        assert!(other.load(&HashMap::new()).is_err());
    }
}
