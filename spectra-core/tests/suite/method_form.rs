//! How a method is written: a recipe as it always was, any other rule by its name.
use spectra_core::optimizer::{Config, Method, Recipe};
use spectra_core::rules::Cautious;

#[test]
fn every_preset_is_written_and_read() {
    for (name, method, _) in Method::presets().chain(Method::experiments()) {
        let text = serde_json::to_string(&method).unwrap();
        assert_eq!(serde_json::from_str::<Method>(&text).unwrap(), method, "{name}: {text}");
        let config = serde_json::to_string(&Config::new(method)).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&config).unwrap(), Config::new(method), "{name}");
    }
}

#[test]
fn a_recipe_has_the_form_of_release_0_1() {
    let recipe = Recipe::preset("muon").unwrap();
    let text = serde_json::to_value(recipe).unwrap();
    assert_eq!(serde_json::to_value(Method::from(recipe)).unwrap(), text);
    assert_eq!(serde_json::from_value::<Method>(text).unwrap(), recipe.into());
}

#[test]
fn half_a_form_or_two_forms_are_refused_by_name() {
    let read =
        |text: &serde_json::Value| serde_json::from_value::<Method>(text.clone()).map_err(|e| e.to_string());
    let recipe = serde_json::to_value(Method::from(Recipe::adamw())).unwrap();
    for field in ["direction", "map", "scale", "weight_decay"] {
        let mut half = recipe.clone();
        half.as_object_mut().unwrap().remove(field);
        assert!(read(&half).unwrap_err().contains(field), "{half}");
    }
    let whole = serde_json::to_value(Method::from(Cautious::new(Recipe::adamw()))).unwrap();
    let mut both = whole.clone();
    both.as_object_mut().unwrap().insert("weight_decay".into(), 0.1.into());
    assert!(read(&both).unwrap_err().contains("rule"));
    let mut unknown = recipe;
    unknown.as_object_mut().unwrap().insert("wieght_decay".into(), 0.1.into());
    assert!(read(&unknown).unwrap_err().contains("wieght_decay"));
    assert!(read(&whole).is_ok());
}
