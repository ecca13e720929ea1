use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

use super::{ModelSizes, VOCABULARY};

/// Standard deviation of the initial embedding and of every matrix that does not feed the residual stream.
const INITIAL_DEVIATION: f32 = 0.02;

/// One named weight; matrices are output x input, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, such as `layers.0.attention.query.weight`.
    pub name: String,
    /// One or two dimensions.
    pub shape: Vec<usize>,
    /// The initial values.
    pub values: Vec<f32>,
}

/// Name and shape of every parameter, in the order in which the forward pass uses them.
pub fn parameter_shapes(sizes: &ModelSizes) -> Vec<(String, Vec<usize>)> {
    let ModelSizes { layers, width, hidden, .. } = *sizes;
    let mut shapes = vec![("embedding.weight".to_string(), vec![VOCABULARY, width])];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        add("attention_norm", &[width]);
        for projection in ["query", "key", "value", "output"] {
            add(&format!("attention.{projection}"), &[width, width]);
        }
        add("mlp_norm", &[width]);
        add("mlp.gate", &[hidden, width]);
        add("mlp.up", &[hidden, width]);
        add("mlp.down", &[width, hidden]);
    }
    shapes.push(("norm.weight".into(), vec![width]));
    shapes.push(("head.weight".into(), vec![VOCABULARY, width]));
    shapes
}

/// The parameters a run with this seed starts from: norms one, matrices normal with deviation 0.02, and
/// those that add to the residual stream smaller by the root of the number of additions.
pub fn initial_parameters(sizes: &ModelSizes, seed: u64) -> Vec<Parameter> {
    let mut draws = StdRng::seed_from_u64(seed);
    let residual = INITIAL_DEVIATION / (2.0 * sizes.layers as f32).sqrt();
    let initial = |(name, shape): (String, Vec<usize>)| {
        let deviation = match name.as_str() {
            name if name.ends_with("norm.weight") => None,
            name if name.ends_with("output.weight") || name.ends_with("down.weight") => Some(residual),
            _ => Some(INITIAL_DEVIATION),
        };
        let mut value = || deviation.map_or(1.0, |d| d * draws.sample::<f32, _>(StandardNormal));
        let values = (0..shape.iter().product()).map(|_| value()).collect();
        Parameter { name, shape, values }
    };
    parameter_shapes(sizes).into_iter().map(initial).collect()
}

/// Moves every value by one unit in its last place, up or down.
pub fn move_by_an_ulp(parameters: &mut [Parameter], seed: u64) {
    let mut draws = StdRng::seed_from_u64(seed);
    for value in parameters.iter_mut().flat_map(|parameter| &mut parameter.values) {
        *value = if draws.random() { value.next_up() } else { value.next_down() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: ModelSizes = ModelSizes { layers: 2, width: 8, hidden: 12, heads: 2, context: 4 };

    #[test]
    fn names_are_unique_and_values_fill_the_shapes() {
        let parameters = initial_parameters(&SIZES, 1);
        let mut names: Vec<_> = parameters.iter().map(|p| &p.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1 + 2 * 9 + 2);
        assert!(parameters.iter().all(|p| p.values.len() == p.shape.iter().product::<usize>()));
    }

    #[test]
    fn an_ulp_is_the_least_there_is() {
        let mut moved = initial_parameters(&SIZES, 1);
        move_by_an_ulp(&mut moved, 5);
        let (mut ups, mut all) = (0, 0);
        for (a, b) in initial_parameters(&SIZES, 1).iter().zip(&moved) {
            for (a, b) in a.values.iter().zip(&b.values) {
                assert!(*b == a.next_up() || *b == a.next_down());
                (ups, all) = (ups + usize::from(b > a), all + 1);
            }
        }
        // Half of them, within five standard deviations.
        assert!((ups as f64 - all as f64 / 2.0).abs() < 2.5 * (all as f64).sqrt(), "{ups} of {all}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(initial_parameters(&SIZES, 1), initial_parameters(&SIZES, 1));
        assert_ne!(initial_parameters(&SIZES, 1), initial_parameters(&SIZES, 2));
    }
}
