//! What is printed.

use super::*;
use spectra_core::optimizer::plan::models::LLAMA3_8B;

#[test]
fn equal_healthy_layers_share_a_line_and_none_is_wider_than_80() -> TestResult {
    let shapes: Vec<(String, Vec<usize>)> = LLAMA3_8B
        .parameters()
        .into_iter()
        .map(|(name, shape)| (name.to_string(), shape.iter().map(|n| n.div_ceil(256)).collect()))
        .collect();
    let plan = Plan::builder().build(shapes)?;
    let mut run = Run::of_plan(Config::preset("spectra")?, plan)?;
    let mut gradients = run.gradients(0);
    gradients[3] = None;
    let seen = run.diagnose(&gradients)?;
    let text = seen.to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    // 9 kinds of matrices, of one of which a layer stands alone, beside embedding, norm and head.
    let table = text.lines().take_while(|line| !line.is_empty()).count();
    assert!(table <= 1 + 9 + 3 + 1, "{text}");
    assert!(text.contains("   ...{0..31}.self_attn.q_proj  spectral     matrix"), "{text}");
    assert!(text.contains("!  ..layers.0.self_attn.v_proj  spectral     matrix"), "{text}");
    let name = &seen.blocks[3].block;
    assert!(text.contains(&format!("  {name}: it has no gradient in this step\n")), "{text}");
    assert!(text.contains("\nwarning: no gradient\n") && text.contains("\n  -> see that the loss"), "{text}");
    Ok(())
}

#[test]
fn many_blocks_of_one_finding_are_cut_and_counted() -> TestResult {
    let shapes: Vec<_> = (0..12).map(|i| (format!("layers.{i}.mlp.up.weight"), [12, 8])).collect();
    let plan = Plan::builder().build(shapes)?;
    let mut run = Run::of_plan(Config::preset("spectra")?, plan)?;
    let none: Vec<Option<M>> = vec![None; 12];
    let text = run.diagnose(&none)?.to_string();
    assert!(
        text.contains("  and 4 more\n") && text.ends_with("12 blocks after 0 steps: 12 warnings"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_diagnosis_is_the_same_from_json() -> TestResult {
    let seen = model::Run::sick()?.diagnose()?;
    let text = serde_json::to_string(&seen)?;
    assert!(text.contains(r#""kind":"missing-gradient","severity":"warning""#), "{text}");
    assert_eq!(serde_json::from_str::<Diagnoses>(&text)?, seen);
    Ok(())
}
