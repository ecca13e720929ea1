use alloc::string::ToString;
use alloc::vec::Vec;

use super::models::LLAMA3_8B;
use super::*;
use crate::backend::{ErrorKind, Result};
use crate::optimizer::Config;

/// `2 mn` and `mn + nk`, `k = round(0.015 min(m, n))`, in the plainest words.
fn spectra(rule: Rule, m: usize, n: usize) -> usize {
    let k = libm::round(0.015 * m.min(n) as f64) as usize;
    if rule == Rule::Spectral { m * n + n * k.max(1) } else { 2 * m * n }
}

fn reason(name: &str, shape: &[usize]) -> Result<(Rule, Reason)> {
    let plan = Plan::builder().build([(name, shape)])?;
    Ok((plan.entries[0].rule, plan.entries[0].reason.clone()))
}

#[test]
fn names_of_the_usual_frameworks_are_known() -> Result<()> {
    let cases: [(Reason, &[&str]); 5] = [
        (
            Reason::Embedding,
            &[
                "model.embed_tokens.weight",
                "tok_embeddings.weight",
                "transformer.wte.weight",
                "wpe",
                "embedding_token.weight",
                "bert.embeddings.word_embeddings.weight",
                "pos_emb",
                "Embedding.weight",
                "encoder/embed/weight",
            ],
        ),
        (
            Reason::Head,
            &[
                "lm_head.weight",
                "output.weight",
                "head.weight",
                "model.output.weight",
                "score.weight",
                "lm_head.dense.weight",
            ],
        ),
        (
            Reason::Norm,
            &[
                "model.norm.weight",
                "h.0.ln_1.weight",
                "ln_f.weight",
                "layers.0.q_norm.weight",
                "LayerNorm.weight",
                "norm1.gamma",
            ],
        ),
        (
            Reason::Bias,
            &[
                "h.0.attn.c_attn.bias",
                "lstm.bias_ih_l0",
                "block.0.relative_attention_bias.weight",
                "norm.bias",
            ],
        ),
        (
            Reason::Matrix,
            &[
                "model.layers.0.self_attn.q_proj.weight",
                "transformer.h.3.attn.c_proj.weight",
                "layers.3.attention.output.weight",
                "encoder.layer.0.attention.output.dense.weight",
                "layers.0.mha.head.weight",
                "embedder.layers.0.mlp.up.weight",
                "layers.0.norm1.linear.weight",
                "layers.7.feed_forward.w1.weight",
            ],
        ),
    ];
    for (expected, names) in cases {
        let rule = if expected == Reason::Matrix { Rule::Spectral } else { Rule::Elementwise };
        for name in names {
            assert_eq!(reason(name, &[20, 30])?, (rule, expected.clone()), "{name}");
        }
    }
    Ok(())
}

#[test]
fn shapes_of_any_rank_are_defined() -> Result<()> {
    type Case = (&'static [usize], (usize, usize), Rule, &'static str);
    let cases: [Case; 11] = [
        (&[], (1, 1), Rule::Elementwise, "scalar"),
        (&[1], (1, 1), Rule::Elementwise, "scalar"),
        (&[1, 1, 1], (1, 1), Rule::Elementwise, "scalar"),
        (&[7], (1, 7), Rule::Elementwise, "vector"),
        (&[7, 1], (1, 7), Rule::Elementwise, "vector"),
        (&[1, 7], (1, 7), Rule::Elementwise, "vector"),
        (&[1, 7, 3], (1, 21), Rule::Elementwise, "vector"),
        (&[2, 3], (2, 3), Rule::Spectral, "matrix"),
        (&[64, 3, 3, 3], (64, 27), Rule::Spectral, "convolution flattened 64 x 27"),
        (&[0], (0, 0), Rule::Frozen, "empty"),
        (&[5, 0, 3], (0, 0), Rule::Frozen, "empty"),
    ];
    for (shape, view, rule, why) in cases {
        let plan = Plan::builder().build([("w", shape)])?;
        let entry = &plan.entries[0];
        assert_eq!((entry.view(), entry.rule(), entry.reason().to_string().as_str()), (view, rule, why));
        assert_eq!(entry.elements(), shape.iter().product::<usize>());
    }
    let plan = Plan::builder().convolutions(Rule::Elementwise).build([("w", [64, 3, 3, 3])])?;
    assert_eq!(plan.entries[0].rule(), Rule::Elementwise);
    assert!(Plan::builder().build([("w", [usize::MAX, 2])]).is_err());
    assert!(Plan::builder().build([("w", [usize::MAX, 0])]).is_ok());
    Ok(())
}

#[test]
fn later_rules_win_and_may_hide_earlier_ones() -> Result<()> {
    let plan = Plan::builder()
        .rule("*.weight", Rule::Frozen)
        .rule("lm_head.*", Rule::Spectral)
        .rule("mlp.*", Rule::Elementwise)
        .rule("*mlp*", Rule::Spectral)
        .build([
            ("lm_head.weight", [30, 20]),
            ("mlp.weight", [30, 20]),
            ("x.weight", [30, 20]),
            ("y", [30, 20]),
        ])?;
    let rules: Vec<Rule> = plan.entries().iter().map(Entry::rule).collect();
    assert_eq!(rules, [Rule::Spectral, Rule::Spectral, Rule::Frozen, Rule::Spectral]);
    assert_eq!(
        plan.get("lm_head.weight").map(|e| e.reason().to_string()).as_deref(),
        Some("user pattern `lm_head.*`")
    );
    assert_eq!(plan.get("y").map(Entry::reason), Some(&Reason::Matrix));
    assert!(plan.get("z").is_none());
    Ok(())
}

#[test]
fn what_cannot_be_planned_is_refused_by_name() {
    let parameters = [("a.weight", &[3, 2][..]), ("a.bias", &[3])];
    let offender = |builder: PlanBuilder, parameters: &[(&str, &[usize])]| {
        let error = builder.build(parameters.iter().copied()).err()?;
        match error.kind() {
            ErrorKind::Name { name, .. } => Some(name.to_string()),
            _ => None,
        }
    };
    let plan = Plan::builder;
    assert_eq!(offender(plan().rule("b.*", Rule::Frozen), &parameters).as_deref(), Some("b.*"));
    assert_eq!(offender(plan().rule("", Rule::Frozen), &parameters).as_deref(), Some(""));
    assert_eq!(offender(plan().rule("a.*", Rule::Spectral), &parameters).as_deref(), Some("a.*"));
    assert_eq!(offender(plan().rule("e", Rule::Spectral), &[("e", &[0, 4])]).as_deref(), Some("e"));
    assert_eq!(offender(plan(), &[("w", &[2, 2]), ("w", &[3, 3])]).as_deref(), Some("w"));
    assert_eq!(offender(plan(), &[("", &[2, 2])]).as_deref(), Some(""));
    let error = plan().rule("*", Rule::Spectral).build(parameters).err();
    assert_eq!(error.as_ref().and_then(|error| error.parameter()), Some("a.bias"));
}

#[test]
fn frozen_and_empty_parameters_cost_nothing() -> Result<()> {
    let parameters = [("a", [4, 5]), ("b", [4, 5]), ("c", [0, 5])];
    let totals = Plan::builder().rule("b", Rule::Frozen).build(parameters)?.state(spectra);
    assert_eq!((totals.elements, totals.numbers, totals.adamw_numbers), (40, 25, 40));
    assert_eq!(totals.saving(), 0.375);
    let nothing = Plan::builder().rule("*", Rule::Frozen).build(parameters)?.state(spectra);
    assert_eq!((nothing.numbers, nothing.saving()), (0, 0.0));
    Ok(())
}

#[test]
fn equal_layers_share_a_line() -> Result<()> {
    let names = ["l.0.w", "l.1.w", "l.2.w", "l.5.w", "l.7.w", "l.8.w", "l.3.v", "l.01.w", "w"];
    let parameters = names.map(|name| (name, if name == "l.7.w" { [9, 9] } else { [4, 6] }));
    let text = Plan::builder().build(parameters)?.table(spectra).to_string();
    let first_words: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first_words[..6], ["parameter", "l.{0..2,5,8}.w", "l.7.w", "l.3.v", "l.01.w", "w"]);
    let row: Vec<&str> = text.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
    assert_eq!(row[1..], ["5", "x", "4", "x", "6", "spectral", "150", "600", "B", "matrix"]);
    assert!(text.contains("9 parameters of 273 numbers: 9 spectral, 0 elementwise, 0 frozen"), "{text}");
    Ok(())
}

/// The figures of LLaMA-3-8B, and the paper's 49.25 %.
#[test]
fn llama_3_8b_costs_what_the_formulas_say() -> Result<()> {
    let parameters = LLAMA3_8B.parameters();
    let plan = Plan::builder().build(parameters.clone())?;
    let text = plan.table(spectra).to_string();
    assert_eq!(text.lines().count(), 16, "{text}");
    assert!(text.contains("model.layers.{0..31}.mlp.gate_proj.weight"), "{text}");
    assert!(text.contains("saved: 43.06 %"), "{text}");
    assert_eq!(plan.state(Config::preset("spectra")?), plan.state(spectra));

    let spectral = Plan::builder().rule("model.embed_tokens.weight", Rule::Spectral);
    let spectral = spectral.rule("lm_head.weight", Rule::Spectral).build(parameters)?;
    assert!((spectral.state(spectra).saving() - 0.4960).abs() < 5e-5);

    let longer_side = |rule: Rule, m: usize, n: usize| spectra(rule, m.min(n), m.max(n));
    assert!((spectral.state(longer_side).saving() - 0.4925).abs() < 5e-5);

    // nk = 0.015 mn exactly: a square matrix whose k needs no rounding.
    let square = Plan::builder().build([("w", [2000, 2000])])?;
    assert!((square.state(spectra).saving() - 0.4925).abs() < 1e-15);
    Ok(())
}
