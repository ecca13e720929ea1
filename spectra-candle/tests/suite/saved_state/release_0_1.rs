//! A file that release 0.1 wrote: `tests/fixtures/state_of_0.1.safetensors`, two steps of this model at the default rates.

use super::*;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state_of_0.1.safetensors")
}

fn config_of_then() -> Result<Config, spectra_candle::Error> {
    Ok(Config::preset("spectra")?.lr(0.03).rank_ratio(0.5))
}

/// It does not say which buffers a parameter has; those of one that is left out are nobody's.
#[test]
fn a_file_of_release_0_1_loads_into_a_model_that_has_changed() -> TestResult {
    use spectra_candle::{Missing, RestoreOptions};
    let varmap = VarMap::new();
    for (name, shape) in [("embed.weight", &[5, 3][..]), ("blocks.0.mlp.up.weight", &[6, 4]), ("new", &[4])] {
        varmap.get(shape, name, candle_nn::init::ONE, DType::F32, &Device::Cpu)?;
    }
    let mut optimizer = Optimizer::from_varmap(&varmap, config_of_then()?)?;
    let rename = |name: &str| name.replace("layers", "blocks");
    let options = RestoreOptions { missing: Missing::Fresh, rename: Some(&rename) };
    let restored = optimizer.load_with(path(), &options)?;
    let names = |names: &[Box<str>]| names.join(" ");
    assert_eq!(names(&restored.loaded), "blocks.0.mlp.up.weight embed.weight");
    assert_eq!((names(&restored.fresh), names(&restored.unused)), ("new".into(), "norm.weight".into()));
    Ok(())
}

#[test]
fn a_file_of_release_0_1_loads() -> TestResult {
    let (path, config) = (path(), config_of_then()?);
    let varmap = VarMap::new();
    for (name, shape) in
        [("embed.weight", &[5, 3][..]), ("layers.0.mlp.up.weight", &[6, 4]), ("norm.weight", &[4])]
    {
        varmap.get(shape, name, candle_nn::init::ONE, DType::F32, &Device::Cpu)?;
    }
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
