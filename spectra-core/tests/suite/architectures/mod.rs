//! The default rules for the parameters of public architectures, by their names and shapes.
//!
//! The tables are excerpts: each kind of parameter once, in the order of the model, names and shapes as the implementation
//! that is named has them. Equal layers are left out.

mod adapters;
mod audio;
mod decoders;
mod diffusion;
mod encoders;
mod experts;
mod vision;

use spectra_core::backend::{ErrorKind, Result};
use spectra_core::optimizer::plan::{Plan, Rule};

/// Name, shape, what the plan shall say.
type Row = (&'static str, &'static [usize], Wanted);
/// Who has these parameters, and the parameters.
type Architecture = (&'static str, &'static [Row]);
/// Rule and the reason's first words.
type Wanted = (Rule, &'static str);

const MATRIX: Wanted = (Rule::Spectral, "matrix");
const CONVOLUTION: Wanted = (Rule::Spectral, "convolution flattened");
const DEPTHWISE: Wanted = (Rule::Elementwise, "depthwise convolution");
const EMBEDDING: Wanted = (Rule::Elementwise, "embedding by name");
const HEAD: Wanted = (Rule::Elementwise, "head by name");
const NORM: Wanted = (Rule::Elementwise, "norm by name");
const BIAS: Wanted = (Rule::Elementwise, "bias by name");
const VECTOR: Wanted = (Rule::Elementwise, "vector");
const SCALAR: Wanted = (Rule::Elementwise, "scalar");
const RECURRENCE: Wanted = (Rule::Elementwise, "recurrence by name");
const LOW_RANK: Wanted = (Rule::Elementwise, "low-rank factor by name");
const EXPERTS: Wanted = (Rule::Elementwise, "stacked experts");
const STACKED: Wanted = (Rule::Spectral, "stacked experts");
const FUSED: Wanted = (Rule::Spectral, "3 fused matrices, split");
const NOT_SPLIT: Wanted = (Rule::Spectral, "fused matrices of unknown sizes, not split");
const UNKNOWN: Wanted = (Rule::Elementwise, "not told by name and shape");

fn all() -> Vec<Architecture> {
    [decoders::ALL, experts::ALL, encoders::ALL, vision::ALL, audio::ALL, diffusion::ALL, adapters::ALL]
        .concat()
}

/// What is wrong with the plan of `rows`, a line each.
fn mistakes(model: &str, rows: &[Row]) -> Result<Vec<String>> {
    let plan = Plan::builder().build(rows.iter().map(|(name, shape, _)| (*name, *shape)))?;
    let wrong = rows.iter().zip(plan.entries()).filter_map(|((name, shape, (rule, reason)), entry)| {
        let found = (entry.rule(), entry.reason().to_string());
        let right = found.0 == *rule && found.1.starts_with(reason);
        (!right)
            .then(|| format!("{model}: {name} {shape:?} is {} ({}), not {rule} ({reason})", found.0, found.1))
    });
    Ok(wrong.collect())
}

#[test]
fn twenty_public_architectures_get_the_rules_they_need() -> Result<()> {
    let architectures = all();
    assert!(architectures.len() >= 20);
    let mut wrong = Vec::new();
    for (model, rows) in architectures {
        wrong.extend(mistakes(model, rows)?);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// candle's `VarMap` has no order of its own; its names come sorted.
#[test]
fn the_order_of_the_alphabet_changes_no_rule() -> Result<()> {
    let mut wrong = Vec::new();
    for (model, rows) in all() {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|(name, ..)| *name);
        wrong.extend(mistakes(model, &rows)?);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn strict_refuses_what_name_and_shape_do_not_tell_and_nothing_else() -> Result<()> {
    let (mut refused, mut planned) = (0, 0);
    for (model, rows) in all() {
        let first = rows.iter().find(|(.., wanted)| [EXPERTS, UNKNOWN].contains(wanted));
        let parameters = || rows.iter().map(|(name, shape, _)| (*name, *shape));
        let built = Plan::builder().strict().build(parameters());
        match (first, built) {
            (None, Ok(_)) => planned += 1,
            (Some((name, ..)), Err(error)) => {
                assert_eq!(error.parameter(), Some(*name), "{model}");
                assert!(
                    matches!(error.kind(), ErrorKind::Name { name: named, .. } if **named == **name),
                    "{error}"
                );
                refused += 1;
                // With a rule for each of them there is nothing left to refuse.
                let mut builder = Plan::builder().strict();
                for (name, ..) in rows.iter().filter(|(.., wanted)| [EXPERTS, UNKNOWN].contains(wanted)) {
                    builder = builder.rule(name, Rule::Elementwise);
                }
                builder.build(parameters())?;
            }
            (_, built) => panic!("{model}: {built:?}"),
        }
    }
    assert!(refused >= 1 && planned >= 15, "{refused} {planned}");
    Ok(())
}

/// Reason and rule of the last parameter of a model of `names`, all `40 x 30`.
fn last(names: &[&'static str]) -> Result<Wanted> {
    let plan = Plan::builder().build(names.iter().map(|name| (*name, [40, 30])))?;
    let entry = &plan.entries()[names.len() - 1];
    let reason =
        [MATRIX, HEAD, EMBEDDING].into_iter().find(|(_, reason)| *reason == entry.reason().to_string());
    assert_eq!(reason.map(|(rule, _)| rule), Some(entry.rule()));
    Ok(reason.unwrap_or(UNKNOWN))
}

#[test]
fn only_the_last_matrix_of_a_model_is_a_head_called_fc() -> Result<()> {
    assert_eq!(last(&["conv.weight", "a.weight", "fc.weight"])?, HEAD);
    assert_eq!(last(&["w.weight", "fc1.weight", "fc2.weight"])?, HEAD);
    assert_eq!(last(&["decoder.fc.w", "encoder.fc.w"])?, MATRIX, "sorted names tell no order");
    assert_eq!(last(&["fc.weight"])?, HEAD);
    for names in [
        &["b.w", "a.0.fc1.weight", "a.0.fc2.weight"][..], // in a layer
        &["b.w", "block1.fc.weight", "block2.fc.weight"], // in layers of another spelling
        &["b.w", "lm_head.weight", "fc.weight"],          // another head
        &["b.w", "mlp.c_fc.weight"],
    ] {
        assert_eq!(last(names)?, MATRIX, "{names:?}");
    }
    // Another matrix comes behind it.
    let plan =
        Plan::builder().build([("x", [40, 30]), ("fc.weight", [40, 30]), ("actor.weight", [40, 30])])?;
    assert!(plan.entries().iter().all(|entry| entry.rule() == Rule::Spectral));
    // A user's rule stays.
    let builder = Plan::builder().rule("fc.*", Rule::Spectral);
    assert_eq!(
        builder.build([("x", [40, 30]), ("fc.weight", [40, 30])])?.entries()[1].rule(),
        Rule::Spectral
    );
    Ok(())
}

#[test]
fn shapes_that_are_no_matrix_are_not_guessed() -> Result<()> {
    let cases: &[Row] = &[
        ("w", &[8, 1024, 4096], UNKNOWN),
        ("experts", &[8, 1024, 4096], STACKED),
        ("experts", &[8192, 4096], EXPERTS),
        ("w", &[64, 32, 3], CONVOLUTION),
        ("w", &[64, 32, 17], UNKNOWN),
        ("experts.w", &[64, 32, 3], STACKED),
        ("experts.0.w", &[64, 32, 3], CONVOLUTION),
        ("w", &[64, 1, 3, 3], DEPTHWISE),
        ("w", &[64, 1, 3, 3, 3], DEPTHWISE),
        ("w", &[64, 2, 3, 3], CONVOLUTION),
        ("w", &[64, 32, 3, 3, 3], CONVOLUTION),
        ("w", &[2, 3, 4, 5, 6, 7], UNKNOWN),
        ("w", &[64, 1, 31], UNKNOWN),
        ("conv.weight", &[64, 1, 31], DEPTHWISE),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| mistakes("alone", std::slice::from_ref(case)))
        .collect::<Result<Vec<_>>>()?
        .concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
