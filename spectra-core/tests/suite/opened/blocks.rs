//! A step over a split matrix is the steps over the separate ones.

use super::{M, random};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::plan::{Plan, Reason, Rule, Split};
use spectra_core::optimizer::{Config, Method, Optimizer};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The blocks of a parameter with these numbers.
fn cut(plan: &Plan, whole: &M) -> Vec<M> {
    plan.blocks()
        .map(|(_, _, block)| {
            let (place, (rows, cols)) = (block.place(), block.shape());
            let at = |i, j| {
                place.start + if place.transposed { j * place.stride + i } else { i * place.stride + j }
            };
            DenseMatrix::from_fn(rows, cols, |i, j| whole.values()[at(i, j)])
        })
        .collect()
}

#[test]
fn every_cut_covers_each_number_once() -> TestResult {
    let cases: [(&[usize], Split, usize); 11] = [
        (&[96, 64], Split::rows([64, 16, 16]), 3),
        (&[96, 64], Split::heads(8), 8),
        (&[64, 192], Split::columns(3), 3),
        (&[64, 192], Split::columns(3).transposed(), 3),
        (&[64, 192], Split::columns_of([100, 92]), 2),
        (&[4, 12, 8], Split::experts(), 4),
        (&[4, 12, 8], Split::experts().transposed(), 4),
        (&[32, 4, 3, 3], Split::groups(4), 4),
        (&[16, 1, 3, 3], Split::groups(8), 8),
        (&[16, 8, 2, 2], Split::groups(2).transposed(), 2),
        (&[20, 30], Split::whole().transposed(), 1),
    ];
    for (shape, split, blocks) in cases {
        let plan = Plan::builder().split("w", split.clone()).build([("w", shape)])?;
        let numbers: usize = shape.iter().product();
        let whole = M::from_vec(1, numbers, (0..numbers).map(|x| x as f64).collect())?;
        let parts = cut(&plan, &whole);
        assert_eq!(parts.len(), blocks, "{split:?}");
        let mut seen: Vec<f64> = parts.iter().flat_map(|part| part.values().to_vec()).collect();
        seen.sort_by(f64::total_cmp);
        assert_eq!(seen, whole.values(), "{split:?}");
    }
    Ok(())
}

#[test]
fn blocks_step_as_separate_matrices_do() -> TestResult {
    for (name, method, _) in Method::presets().chain(Method::experiments()) {
        let config = Config::new(method).lr(1e-2);
        let split = Split::rows([12, 6, 6]).names(["q", "k", "v"]);
        let plan = Plan::builder().split("qkv", split).build([("qkv", [24, 10])])?;
        let apart = Plan::builder().build([("q", [12, 10]), ("k", [6, 10]), ("v", [6, 10])])?;
        let mut results = Vec::new();
        for plan_of in [&plan, &apart] {
            let mut optimizer = Optimizer::new(Dense::<f64>::new(), config, plan_of.parameters())?;
            let mut weights = cut(&plan, &random(1, (24, 10)));
            for t in 0..3 {
                let gradients = cut(&plan, &random(10 + t, (24, 10)));
                let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
                optimizer.step(&mut pairs)?;
            }
            results.push(weights);
        }
        assert_eq!(results[0], results[1], "{name}");
    }
    Ok(())
}

#[test]
fn each_block_has_a_line_a_state_and_a_name() -> TestResult {
    let builder = Plan::builder().split("*.qkv.weight", Split::rows([64, 16, 16]).names(["q", "k", "v"]));
    let plan = builder.build((0..3).map(|i| (format!("layers.{i}.qkv.weight"), [96, 64])))?;
    let names: Vec<_> = plan.parameters().map(|spec| spec.name).take(3).collect();
    assert_eq!(names.join(" "), "layers.0.qkv.weight[q] layers.0.qkv.weight[k] layers.0.qkv.weight[v]");
    let table = plan.table(Config::preset("spectra")?).to_string();
    let words: Vec<_> = table.split_whitespace().collect();
    for line in ["layers.{0..2}.qkv.weight[q] 3 x 64 x 64", "layers.{0..2}.qkv.weight[k] 3 x 16 x 64"] {
        assert!(words.join(" ").contains(line), "{line}\n{table}");
    }
    // k = 1 for each: 64 columns of V beside each momentum.
    assert_eq!(plan.state(Config::preset("spectra")?).numbers, 3 * (96 * 64 + 3 * 64));
    Ok(())
}

#[test]
fn fused_and_stacked_matrices_are_known_by_name() -> TestResult {
    let of = |name: &str, shape: &[usize]| -> Result<_, spectra_core::backend::Error> {
        let plan = Plan::builder().build([(name, shape)])?;
        let entry = plan.entries()[0].clone();
        let shapes: Vec<_> = entry.blocks().iter().map(|block| block.shape()).collect();
        Ok((entry.rule(), entry.reason().clone(), shapes))
    };
    let third = (Rule::Spectral, Reason::Fused { parts: 3 }, vec![(64, 64); 3]);
    for name in
        ["h.0.attn.c_attn.weight", "blocks.3.attn.qkv.weight", "self_attn.in_proj_weight", "Wqkv.weight"]
    {
        assert_eq!(of(name, &[192, 64])?, third, "{name}");
    }
    assert_eq!(of("h.0.attn.c_attn.weight", &[64, 192])?, third, "GPT-2 stores in x out");
    let halves = (Rule::Spectral, Reason::Fused { parts: 2 }, vec![(128, 64); 2]);
    assert_eq!(of("layers.0.mlp.gate_up_proj.weight", &[256, 64])?, halves);
    let experts = (Rule::Spectral, Reason::Experts, vec![(128, 64); 8]);
    assert_eq!(of("layers.0.mlp.experts.w1", &[8, 128, 64])?, experts);
    let unknown = (Rule::Spectral, Reason::FusedUnknown, vec![(96, 64)]);
    assert_eq!(of("layers.0.attn.qkv_proj.weight", &[96, 64])?, unknown, "grouped queries");
    assert_eq!(of("layers.0.attention.query_key_value.weight", &[192, 64])?.1, Reason::FusedUnknown);
    // As release 0.1 had it.
    let whole =
        Plan::builder().whole().build([("experts.w1", &[8, 128, 64][..]), ("qkv.weight", &[192, 64])])?;
    assert_eq!(whole.entries()[0].rule(), Rule::Elementwise);
    assert!(whole.entries().iter().all(|entry| entry.blocks().len() == 1));
    Ok(())
}

#[test]
fn cuts_that_do_not_fit_are_refused_by_name() -> TestResult {
    for split in [
        Split::rows([64, 16]),
        Split::rows([96, 0]),
        Split::heads(7),
        Split::heads(0),
        Split::heads(96),
        Split::columns(5),
        Split::experts(),
        Split::heads(3).names(["q", "k"]),
    ] {
        let error = Plan::builder().split("qkv.weight", split.clone()).build([("qkv.weight", [96, 64])]);
        let error = error.err().ok_or_else(|| format!("{split:?} was taken"))?.to_string();
        assert!(error.contains("qkv.weight"), "{error}");
    }
    assert!(
        Plan::builder().split("qkv", Split::heads(2)).build([("w", [96, 64])]).is_err(),
        "matches nothing"
    );
    Ok(())
}
