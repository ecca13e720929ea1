//! Files that release 0.1 wrote. `tests/fixtures/*_of_0.1.safetensors` were made by its code: two steps of the tests' model at lr 0.02 and
//! elementwise lr 0.004, decay 0.1, norm clip 1, the learning rate set to 0.01 before each.

use super::*;

#[test]
fn files_of_release_0_1_load() -> TestResult {
    for preset in ["spectra", "muon"] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{preset}_of_0.1.safetensors"));
        let varmap = model(DType::F32)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, Config::preset(preset)?.lr(0.03))?;
        let restored = optimizer.load(&path)?;
        assert_eq!((optimizer.steps(), optimizer.learning_rate()), (2, 0.03), "{preset}");
        assert_eq!(restored.to_string(), "restored at step 2; learning rate was 0.01 and is now 0.03");
        let saved = candle_core::safetensors::load(&path, &Device::Cpu)?;
        let now = optimizer.state_tensors()?;
        assert_eq!(saved.len(), now.len(), "{preset}");
        for (key, tensor) in saved.iter().filter(|(_, tensor)| tensor.dtype() == DType::F32) {
            assert_eq!(tensor.to_vec2::<f32>()?, now[key].to_vec2::<f32>()?, "{preset}: {key}");
        }
        optimizer.step(&gradients(&varmap, 2)?)?;
        // What is saved now is of this version, and loads again.
        let folder = tempfile::tempdir()?;
        optimizer.save(folder.path().join("state"))?;
        Optimizer::from_varmap(&varmap, Config::preset(preset)?)?.load(folder.path().join("state"))?;
    }
    Ok(())
}
