use spectra_core::backend::Result;
use spectra_core::optimizer::Config;
use spectra_core::rules::Soap;

#[test]
fn every_argument_has_a_place() -> Result<()> {
    // ANCHOR: soap
    // SOAP(params, lr=3e-3, betas=(0.95, 0.95), shampoo_beta=-1, eps=1e-8, weight_decay=0.01,
    //      precondition_frequency=10, max_precond_dim=10000)
    let soap = Soap {
        beta1: 0.95,
        beta2: 0.95,
        shampoo_beta: 0.95,
        eps: 1e-8,
        every: 10,
        max_dim: 10_000,
        ..Soap::PAPER
    };
    let config = Config::new(soap).lr(3e-3).weight_decay(0.01);
    // ANCHOR_END: soap
    config.validate::<f32>()?;
    assert_eq!(soap, Soap::PAPER, "these are the defaults");
    Ok(())
}
