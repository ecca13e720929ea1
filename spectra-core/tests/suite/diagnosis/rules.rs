//! Wrong rules.

use super::*;
use spectra_core::optimizer::diagnosis::Severity;
use spectra_core::optimizer::plan::Rule;
use spectra_core::rules::Method;

type Found = Vec<(FindingKind, Severity, String)>;

/// What is found about rules of a parameter of this name and shape under a plan.
fn found(
    builder: &PlanBuilder,
    (name, shape): (&str, &[usize]),
) -> Result<Found, Box<dyn std::error::Error>> {
    let mut run = Run::new(Config::preset("spectra")?.lr(1e-4), builder, &[(name, shape)])?;
    let seen = run.diagnose(&run.gradients(0))?;
    Ok(seen.all().map(|(_, f)| (f.kind, f.severity, f.what.clone())).collect())
}

#[test]
fn what_is_no_hidden_matrix_is_found_by_its_name_and_by_its_shape() -> TestResult {
    let spectral = Plan::builder().rule("*", Rule::Spectral);
    for (name, because) in [
        ("model.embed_tokens.weight", "embedding by name"),
        ("lm_head.weight", "head by name"),
        ("layers.0.q_proj.lora_A", "low-rank factor by name"),
        ("layers.0.mixer.A_log", "recurrence by name"),
    ] {
        let what = format!("{because}, but user pattern `*` makes it spectral");
        assert_eq!(found(&spectral, (name, &[24, 16]))?, [(FindingKind::NotHidden, Severity::Warning, what)]);
        assert_eq!(found(&Plan::builder(), (name, &[24, 16]))?, [], "{name}");
    }
    let table = found(&Plan::builder(), ("things.weight", &[2048, 8]))?;
    let what = "2048 x 8 is the shape of an embedding or a head".to_owned();
    assert_eq!(table, [(FindingKind::NotHidden, Severity::Warning, what)]);
    for shape in [[64, 8], [1024, 128], [28, 784]] {
        assert_eq!(found(&Plan::builder(), ("things.weight", &shape))?, [], "{shape:?}");
    }
    Ok(())
}

#[test]
fn a_matrix_of_two_rows_is_nearly_a_vector() -> TestResult {
    for (shape, count) in [([40, 2], 1), ([2, 40], 1), ([40, 3], 0)] {
        let found = found(&Plan::builder(), ("layers.0.input.weight", &shape))?;
        assert_eq!(found.len(), count, "{shape:?}");
        assert!(
            found
                .iter()
                .all(|(kind, severity, _)| (*kind, *severity) == (FindingKind::VectorLike, Severity::Note))
        );
    }
    Ok(())
}

#[test]
fn a_hidden_matrix_that_somebody_made_elementwise_is_noted() -> TestResult {
    let name = "layers.0.mlp.up.weight";
    let by_rule = Plan::builder().rule("layers.*", Rule::Elementwise);
    let adamw = Method::preset("adamw")?;
    let by_group = Plan::builder().group("layers.*", |group| group.recipe(adamw));
    for builder in [by_rule, by_group] {
        let what = "matrix by default, but user pattern `layers.*` makes it elementwise".to_owned();
        assert_eq!(found(&builder, (name, &[24, 16]))?, [(FindingKind::Unspectral, Severity::Note, what)]);
        assert_eq!(found(&builder, ("layers.0.norm.weight", &[16]))?, []);
    }
    assert_eq!(found(&Plan::builder().group("layers.*", |g| g.lr(2.0)), (name, &[24, 16]))?, []);
    Ok(())
}

#[test]
fn where_all_matrices_have_one_rule_none_is_wrong() -> TestResult {
    let builder = Plan::builder().rule("embed.*", Rule::Spectral).rule("layers.*", Rule::Elementwise);
    let shapes: [(&str, &[usize]); 2] = [("embed.weight", &[12, 8]), ("layers.0.mlp.up.weight", &[12, 8])];
    let mut run = Run::new(Config::preset("adamw")?, &builder, &shapes)?;
    assert_eq!(kinds(&run.diagnose(&run.gradients(0))?), []);
    // Nor where somebody wants it for everything.
    let by_default = Plan::builder();
    let everything: [(&str, &[usize]); 2] = [("embed.weight", &[12, 8]), ("layers.0.mlp.up.bias", &[12])];
    let mut run = Run::new(Config::preset("spectra")?.apply_to_all(), &by_default, &everything)?;
    assert_eq!(kinds(&run.diagnose(&run.gradients(0))?), []);
    let mut run = Run::new(Config::preset("spectra")?, &builder, &shapes)?;
    assert_eq!(kinds(&run.diagnose(&run.gradients(0))?), [FindingKind::NotHidden, FindingKind::Unspectral]);
    Ok(())
}

#[test]
fn what_nothing_tells_is_noted() -> TestResult {
    let cases: [(&str, &[usize], &str); 2] = [
        ("mixed.w1", &[3, 8, 64], "not told by name and shape: it is stepped number by number"),
        (
            "layers.0.qkv_proj.weight",
            &[20, 16],
            "fused matrices of unknown sizes, not split: it is stepped as one matrix",
        ),
    ];
    for (name, shape, what) in cases {
        let expected = [(FindingKind::Untold, Severity::Note, what.to_owned())];
        assert_eq!(found(&Plan::builder(), (name, shape))?, expected);
    }
    assert_eq!(found(&Plan::builder(), ("layers.0.qkv_proj.weight", &[48, 16]))?, []);
    Ok(())
}
