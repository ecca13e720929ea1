//! A file that release 0.1 wrote: `tests/fixtures/state_of_0.1.safetensors`, two steps of this model at the default rates.

use super::*;

#[test]
fn a_file_of_release_0_1_loads() -> TestResult {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state_of_0.1.safetensors");
    let varmap = VarMap::new();
    for (name, shape) in
        [("embed.weight", &[5, 3][..]), ("layers.0.mlp.up.weight", &[6, 4]), ("norm.weight", &[4])]
    {
        varmap.get(shape, name, candle_nn::init::ONE, DType::F32, &Device::Cpu)?;
    }
    let config = Config::preset("spectra")?.lr(0.03).rank_ratio(0.5);
    let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
    let restored = optimizer.load(&path)?;
    assert_eq!((optimizer.steps(), optimizer.learning_rate()), (2, 0.03));
    assert_eq!(restored.to_string(), "restored at step 2; learning rate was 0.001 and is now 0.03");
    let saved = candle_core::safetensors::load(&path, &Device::Cpu)?;
    let now = optimizer.state_tensors()?;
    assert_eq!(saved.len(), now.len());
    for (key, tensor) in saved.iter().filter(|(_, tensor)| tensor.dtype() == DType::F32) {
        assert_eq!(tensor.to_vec2::<f32>()?, now[key].to_vec2::<f32>()?, "{key}");
    }
    optimizer.step(&gradients(&varmap, 2)?)?;
    // What is saved now is of this version, and loads again.
    let folder = tempfile::tempdir()?;
    optimizer.save(folder.path().join("state"))?;
    Optimizer::from_varmap(&varmap, config)?.load(folder.path().join("state"))?;
    Ok(())
}
