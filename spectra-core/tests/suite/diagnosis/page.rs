//! docs/troubleshooting.md shows what the example prints.

use super::*;
use spectra_core::optimizer::diagnosis::Severity;

const PAGE: &str = include_str!("../../../../docs/troubleshooting.md");

#[test]
fn the_page_shows_what_is_printed() -> TestResult {
    let [healthy, sick] = model::report()?;
    for text in [healthy, sick] {
        let block = format!("```text\n{text}\n```\n");
        assert!(PAGE.contains(&block), "docs/troubleshooting.md does not show:\n{text}");
    }
    Ok(())
}

#[test]
fn the_sick_model_has_what_it_was_given() -> TestResult {
    let mut run = model::Run::sick()?;
    run.train(5)?;
    let seen = run.diagnose()?;
    let kind_of = |block: &str| -> Vec<FindingKind> {
        seen.block(block).into_iter().flat_map(|b| b.findings.iter().map(|f| f.kind)).collect()
    };
    assert!(kind_of("embed_tokens.weight").contains(&FindingKind::NotHidden));
    assert!(kind_of("layers.0.mlp.up.weight").contains(&FindingKind::DeadRows));
    assert!(kind_of("layers.0.mlp.down.weight").contains(&FindingKind::DeadColumns));
    assert!(kind_of("layers.0.mlp.down.weight").contains(&FindingKind::Stagnation));
    assert!(kind_of("layers.1.mlp.up.weight").contains(&FindingKind::MissingGradient));
    assert!(kind_of("lm_head.weight").contains(&FindingKind::UpdateTooLarge));
    assert!(seen.worst() >= Some(Severity::Warning));
    Ok(())
}
