use spectra_core::backend::Result;
use spectra_core::linalg::{Normalization, Polar};
use spectra_core::optimizer::{Config, Method, StepScale};
use spectra_core::rules::{Dion, Dion2, DionRank};

#[test]
fn every_argument_of_dion_has_a_place() -> Result<()> {
    // ANCHOR: dion
    // dion.Dion(params, rank_fraction=0.25, rank_multiple_of=8, lr=0.01, mu=0.95, betas=(0.9, 0.95), weight_decay=0.01, epsilon=1e-8)
    let rank = DionRank::Fraction { fraction: 0.25, multiple_of: 8 };
    let dion = Dion { rank, mu: 0.95, eps: 1e-8, ..Dion::REFERENCE };
    let config = Config::new(dion).lr(0.01).beta1(0.9).beta2(0.95).weight_decay(0.01);
    // ANCHOR_END: dion
    config.validate::<f32>()?;
    assert_eq!(dion.rank((1000, 300)), 80, "a quarter of the shorter side, up to a multiple of 8");
    assert_eq!((config.spectral.weight_decay(), config.elementwise.weight_decay()), (0.01, 0.01));
    Ok(())
}

#[test]
fn its_muon_is_ours_with_other_parts() -> Result<()> {
    // ANCHOR: muon
    // dion.Muon(params, lr=0.01, mu=0.95, betas=(0.9, 0.95), weight_decay=0.01, epsilon=1e-8, nesterov=False,
    //           adjust_lr="spectral_norm", use_polar_express=True)
    let epsilon = Normalization::Added { factor: 1.02, eps: 1e-8 };
    let config = Config::preset("muon-polar-express")?
        .lr(0.01)
        .momentum(0.95)
        .beta1(0.9)
        .beta2(0.95)
        .weight_decay(0.01)
        .nesterov(false)
        .averaged(false)
        .polar(Polar { normalization: epsilon, ..Polar::POLAR_EXPRESS_SHORT })
        .scale(StepScale::RATIO); // "rms_norm": StepScale::MaxDimension { factor: 0.2 }; None: StepScale::One
    // ANCHOR_END: muon
    config.validate::<f32>()?;
    assert_eq!(StepScale::RATIO.of_shape((400, 100)), Some(2.0));
    Ok(())
}

#[test]
fn dion2_has_its_fraction() -> Result<()> {
    // ANCHOR: dion2
    // dion.Dion2(params, lr=0.01, fraction=0.25, ef_decay=0.95, weight_decay=0.01)
    let config =
        Config::new(Dion2 { fraction: 0.25, decay: 0.95, weight_decay: 0.01, ..Dion2::PAPER }).lr(0.01);
    // ANCHOR_END: dion2
    config.validate::<f32>()?;
    assert!(matches!(config.spectral, Method::Whole(_)));
    Ok(())
}
