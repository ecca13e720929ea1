//! Scalars and vectors under burn's own groups, where only shapes are known.

use crate::common::{Tiny, gradients, values};
use spectra_burn::{ErrorKind, SpectralConfig};

fn trained(config: &SpectralConfig) -> [Vec<f64>; 5] {
    let mut module = Tiny::new(24, 1);
    let mut optimizer = config.init().unwrap();
    for at in 0..3 {
        let drawn = gradients(&module, at);
        module = optimizer.step(0.01, module, drawn);
    }
    [
        values(module.embedding.weight.val()),
        values(module.up.weight.val()),
        values(module.up.bias.unwrap().val()),
        values(module.norm.gamma.val()),
        values(module.down.weight.val()),
    ]
}

#[test]
fn they_are_not_decayed_unless_asked() {
    let decayed = |decay| SpectralConfig::preset("spectra").unwrap().with_weight_decay(decay);
    let (none, default) = (trained(&decayed(0.0)), trained(&decayed(5.0)));
    let all = trained(&decayed(5.0).with_decay_vectors(Some(true)));
    let same =
        |a: &[Vec<f64>; 5], b: &[Vec<f64>; 5]| -> [bool; 5] { std::array::from_fn(|at| a[at] == b[at]) };
    assert_eq!(same(&default, &none), [false, false, true, true, false]);
    assert_eq!(same(&default, &all), [true, true, false, false, true]);
    let kept = decayed(5.0).with_decay_vectors(Some(true)).with_settings(|settings| settings).unwrap();
    assert_eq!(trained(&kept), all);
}

#[test]
fn under_a_plan_its_groups_say_so() {
    let config = SpectralConfig::preset("spectra").unwrap().with_decay_vectors(Some(true));
    let error = config.init_for(&Tiny::new(24, 1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Name { .. }), "{error}");
    assert!(error.to_string().contains("decay_vectors"), "{error}");
}
