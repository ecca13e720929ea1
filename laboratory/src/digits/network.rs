//! The networks that tell digits apart.

use std::collections::HashMap;
use std::sync::MutexGuard;

use candle_core::{Device, Result, Tensor, Var, bail};
use candle_nn::VarMap;
use clap::ValueEnum;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::data::{CLASSES, Images, PIXELS, SIDE};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// 64 - 256 - 256 - 10.
    Mlp,
    /// Two 3 x 3 convolutions with 16 and 32 channels, the second with stride 2, then 512 - 10.
    Conv,
}

/// A network and its weights.
pub(super) struct Network {
    kind: Kind,
    /// The weights by name.
    pub(super) weights: VarMap,
    layers: Vec<(Tensor, Tensor)>,
}

impl Kind {
    /// Name, shape of the weight and number of its inputs.
    fn layers(self) -> [(&'static str, Vec<usize>); 3] {
        match self {
            Self::Mlp => {
                [("first", vec![256, PIXELS]), ("second", vec![256, 256]), ("head", vec![CLASSES, 256])]
            }
            Self::Conv => [
                ("first", vec![16, 1, 3, 3]),
                ("second", vec![32, 16, 3, 3]),
                ("head", vec![CLASSES, 32 * (SIDE / 2) * (SIDE / 2)]),
            ],
        }
    }
}

impl Network {
    /// Uniform weights of variance 2 / inputs (He et al., 1502.01852), biases of zero.
    pub(super) fn new(kind: Kind, seed: u64) -> Result<Self> {
        let mut draws = StdRng::seed_from_u64(seed);
        let weights = VarMap::new();
        for (name, shape) in kind.layers() {
            let inputs: usize = shape[1..].iter().product();
            let bound = (6.0 / inputs as f32).sqrt();
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| draws.random_range(-bound..bound)).collect();
            let weight = Var::from_vec(values, shape.as_slice(), &Device::Cpu)?;
            let bias = Var::zeros(shape[0], candle_core::DType::F32, &Device::Cpu)?;
            let mut named = held(&weights)?;
            named.insert(format!("{name}.weight"), weight);
            named.insert(format!("{name}.bias"), bias);
        }
        Self::of(kind, weights)
    }

    /// With these weights.
    pub(super) fn of(kind: Kind, weights: VarMap) -> Result<Self> {
        let tensor = |name: String| match held(&weights)?.get(&name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => bail!("{name} is missing"),
        };
        let pair = |(name, _): (&str, Vec<usize>)| {
            Ok((tensor(format!("{name}.weight"))?, tensor(format!("{name}.bias"))?))
        };
        let layers = kind.layers().map(pair).into_iter().collect::<Result<_>>()?;
        Ok(Self { kind, weights, layers })
    }

    /// The weights by name.
    pub(super) fn named(&self) -> Result<Vec<(String, Var)>> {
        Ok(held(&self.weights)?.iter().map(|(name, var)| (name.clone(), var.clone())).collect())
    }

    pub(super) fn loss(&self, images: &Images) -> Result<Tensor> {
        let logits = self.logits(&images.pixels)?;
        let classes = Tensor::from_slice(&images.classes, images.count(), logits.device())?;
        candle_nn::loss::cross_entropy(&logits, &classes)
    }

    /// A row of ten logits for each image.
    pub(super) fn logits(&self, pixels: &[f32]) -> Result<Tensor> {
        let count = pixels.len() / PIXELS;
        let mut x = match self.kind {
            Kind::Mlp => Tensor::from_slice(pixels, (count, PIXELS), &Device::Cpu)?,
            Kind::Conv => Tensor::from_slice(pixels, (count, 1, SIDE, SIDE), &Device::Cpu)?,
        };
        for (place, (weight, bias)) in self.layers.iter().enumerate() {
            let is_last = place + 1 == self.layers.len();
            x = match self.kind {
                Kind::Conv if !is_last => {
                    let bias = bias.reshape((1, bias.elem_count(), 1, 1))?;
                    x.conv2d(weight, 1, 1 + place, 1, 1)?.broadcast_add(&bias)?
                }
                _ => x.flatten_from(1)?.matmul(&weight.t()?)?.broadcast_add(bias)?,
            };
            if !is_last {
                x = x.relu()?;
            }
        }
        Ok(x)
    }
}

fn held(weights: &VarMap) -> Result<MutexGuard<'_, HashMap<String, Var>>> {
    weights
        .data()
        .lock()
        .map_err(|_| candle_core::Error::Msg("a thread panicked while it held the weights".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_ten_logits_an_image() {
        for kind in [Kind::Mlp, Kind::Conv] {
            let network = Network::new(kind, 1).expect("a network");
            let logits = network.logits(&[0.5; 3 * PIXELS]).expect("logits");
            assert_eq!(logits.dims(), [3, CLASSES]);
            let same = Network::new(kind, 1).expect("a network").logits(&[0.5; 3 * PIXELS]).expect("logits");
            assert_eq!(logits.to_vec2::<f32>().expect("numbers"), same.to_vec2::<f32>().expect("numbers"));
        }
    }
}
