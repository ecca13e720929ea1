//! The two names of one step (2603.14315, Proposition 1).

use crate::backend::{Result, require};

/// The optimizer's: `X <- (1 - lr wd) X - lr scale clip_c(M)`, the hard spectral clip.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WeightDecayForm {
    /// Learning rate.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// alpha, the factor of the update.
    pub scale: f64,
    /// The clip threshold.
    pub c: f64,
}

/// Frank-Wolfe's: `X <- (1 - gamma) X + gamma V` with `V = argmin_{||V||_2 <= D} <M, V> + (b / 2) ||V||_F^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrankWolfeForm {
    /// gamma.
    pub step: f64,
    /// D.
    pub radius: f64,
    /// b, the strength of the squared Frobenius norm.
    pub b: f64,
}

impl WeightDecayForm {
    /// `gamma = lr wd`, `D = scale c / wd`, `b = wd / scale`: the same step, because
    /// `V = -clip_D(M / b)` and `gamma clip_D(M / b) = lr scale clip_c(M)`.
    ///
    /// # Errors
    /// A number that is not positive and finite; `lr wd > 1`.
    pub fn frank_wolfe(&self) -> Result<FrankWolfeForm> {
        positive("lr", self.lr)?;
        positive("weight_decay", self.weight_decay)?;
        positive("scale", self.scale)?;
        positive("c", self.c)?;
        let step = self.lr * self.weight_decay;
        require(step <= 1.0, "frank_wolfe", "lr * weight_decay", step, "<= 1")?;
        let radius = self.scale * self.c / self.weight_decay;
        Ok(FrankWolfeForm { step, radius, b: self.weight_decay / self.scale })
    }
}

impl FrankWolfeForm {
    /// `lr = gamma / wd`, `scale = wd / b`, `c = b D`, for a weight decay of one's choice.
    ///
    /// # Errors
    /// A number that is not positive and finite; `gamma > 1`.
    pub fn weight_decay(&self, weight_decay: f64) -> Result<WeightDecayForm> {
        positive("weight_decay", weight_decay)?;
        positive("step", self.step)?;
        positive("radius", self.radius)?;
        positive("b", self.b)?;
        require(self.step <= 1.0, "frank_wolfe", "step", self.step, "<= 1")?;
        Ok(WeightDecayForm {
            lr: self.step / weight_decay,
            weight_decay,
            scale: weight_decay / self.b,
            c: self.b * self.radius,
        })
    }
}

fn positive(name: &'static str, value: f64) -> Result<()> {
    require(value > 0.0 && value.is_finite(), "frank_wolfe", name, value, "positive and finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let optimizer = WeightDecayForm { lr: 1e-3, weight_decay: 0.1, scale: 1.5, c: 10.0 };
        let solver = optimizer.frank_wolfe().unwrap();
        assert!((solver.radius - 150.0).abs() < 1e-12 && (solver.step - 1e-4).abs() < 1e-18);
        let back = solver.weight_decay(0.1).unwrap();
        for (a, b) in [(back.lr, 1e-3), (back.scale, 1.5), (back.c, 10.0)] {
            assert!((a / b - 1.0).abs() < 1e-14, "{back:?}");
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(WeightDecayForm { c: bad, ..optimizer }.frank_wolfe().is_err());
            assert!(solver.weight_decay(bad).is_err());
        }
        assert!(WeightDecayForm { lr: 11.0, ..optimizer }.frank_wolfe().is_err(), "a step beyond 1");
    }
}
