//! Where matrices are stepped, and what that costs: bounds, words against hand-computed numbers, the printed table.

use spectra_core::backend::{Error, ErrorKind};
use spectra_core::dense::Dense;
use spectra_core::distributed::{Axis, Division, Mode, Placement, Placing, Work};
use spectra_core::maps::{Clip, SoftClip, SpectralMap, TailShrink};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer, PreClip};
use spectra_core::rules::{Clipped, Dion, DionRank, Method, Recipe, Rounding, Rules, Sharding, UpdateRule};

type Result = core::result::Result<(), Error>;

const ENTRYWISE: Option<Sharding> = Some(Sharding::Entrywise);

fn work(name: &str, shape: (usize, usize), flops: f64, sharding: Option<Sharding>) -> Work {
    Work { name: name.into(), shape, rule: "rule".into(), flops, sharding, is_live: true }
}

fn tail_shrink(name: &str, shape: (usize, usize), rank: usize) -> Work {
    let flops = 6.0 * (shape.0 * shape.1 * rank) as f64;
    work(name, shape, flops, Some(Sharding::Sweeps { rank, sweeps: 1 }))
}

fn refused(outcome: core::result::Result<Placement, Error>) -> Option<String> {
    match outcome.err()?.kind() {
        ErrorKind::Name { name, .. } => Some(name.to_string()),
        ErrorKind::Argument { name, .. } => Some(name.to_string()),
        _ => None,
    }
}

/// Every live matrix is somewhere, and loads are those of what is there: for uneven shapes, for more ranks than matrices or rows, in
/// every mode.
#[test]
fn every_matrix_is_stepped_once() -> Result {
    let all = vec![
        tail_shrink("a", (300, 100), 2),
        work("b", (7, 5), 350.0, ENTRYWISE),
        Work::frozen("c", (9, 9)),
        work("d", (64, 64), 1e7, None),
        work("e", (0, 5), 0.0, ENTRYWISE),
        tail_shrink("f", (100, 301), 2),
        work("g", (30, 40), 2e6, Some(Sharding::LowRank { rank: 3 })),
    ];
    for mode in [Mode::Auto, Mode::Owners, Mode::Divided, Mode::LowRank] {
        for ranks in [1, 2, 3, 4, 7, 400] {
            let placement = Placing::new(mode).place(all.clone(), ranks)?;
            assert_eq!(placement, Placing::new(mode).place(all.clone(), ranks)?);
            let mut loads = vec![0.0; ranks];
            for (work, division) in all.iter().zip(placement.divisions()) {
                assert_eq!(division.is_some(), work.is_live);
                let Some(division) = division else { continue };
                assert_eq!((division.shape(), division.ranks()), (work.shape, ranks));
                let is_divided = match mode {
                    Mode::Auto | Mode::LowRank => None,
                    Mode::Owners => Some(false),
                    Mode::Divided => Some(work.sharding.is_some_and(Sharding::is_of_parts)),
                };
                assert!(is_divided.is_none_or(|divided| divided == division.is_divided()));
                let entries = |(m, n): (usize, usize)| m * n;
                let parts: Vec<usize> = (0..ranks).map(|rank| entries(division.part(rank))).collect();
                assert_eq!(division.is_shared(), mode == Mode::LowRank && &*work.name == "g");
                let times = if division.is_shared() { ranks } else { 1 };
                assert_eq!(parts.iter().sum::<usize>(), times * entries(work.shape));
                for (load, part) in loads.iter_mut().zip(parts) {
                    *load += work.flops * part as f64 / entries(work.shape).max(1) as f64;
                }
            }
            // Some five sums of about 1e7 in another order.
            let near = |(x, y): (&f64, &f64)| (x - y).abs() <= 1e-7;
            assert!(loads.iter().zip(placement.loads()).all(near), "{mode:?} {ranks}");
            let (sum, largest): (f64, f64) = (loads.iter().sum(), loads.iter().copied().fold(0.0, f64::max));
            assert!((placement.imbalance() - largest * ranks as f64 / sum).abs() < 1e-12);
        }
    }
    Ok(())
}

/// A model with one hidden layer of unequal matrices: the largest load against the larger of the largest job and the mean.
#[test]
fn owners_are_balanced_by_cost() -> Result {
    let plan = Plan::builder().build([
        ("up.weight", &[400, 100][..]),
        ("down.weight", &[100, 400]),
        ("q.weight", &[100, 100]),
        ("k.weight", &[30, 100]),
        ("v.weight", &[30, 100]),
        ("o.weight", &[100, 100]),
        ("norm.weight", &[100]),
    ])?;
    let optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset("muon")?, plan.parameters())?;
    let work = optimizer.work();
    // Five steps of 4 s^2 l + 2 s^3, and 10 mn.
    let up = 5.0 * (4.0 * 100.0 * 100.0 * 400.0 + 2.0 * 1e6) + 10.0 * 400.0 * 100.0;
    assert_eq!((work[0].flops, work[1].flops, work[6].flops), (up, up, 1000.0));
    for ranks in 1..=8 {
        let placement = Placing::AUTO.place(work.clone(), ranks)?;
        let largest = placement.loads().iter().copied().fold(0.0, f64::max);
        let total: f64 = work.iter().map(|work| work.flops).sum();
        let least = up.max(total / ranks as f64);
        assert!(largest <= (4.0 / 3.0 - 1.0 / (3 * ranks) as f64) * least, "{ranks}");
    }
    Ok(())
}

#[test]
fn the_crossover_and_the_size_decide() -> Result {
    let divided = |work: Work, ranks| -> core::result::Result<bool, Error> {
        // As many as ranks: none is more than a rank's share.
        let placement = Placing::AUTO.place(vec![work; ranks], ranks)?;
        Ok(placement.divisions().iter().flatten().all(|division| division.owner().is_none()))
    };
    // m / (k + k^2 / n) = 4096 / 65 = 63.02.
    let square = || tail_shrink("w", (4096, 4096), 64);
    assert!(divided(square(), 63)? && !divided(square(), 64)? && !divided(square(), 1)?);
    // Two sweeps: half of it.
    let twice = || Work { sharding: Some(Sharding::Sweeps { rank: 64, sweeps: 2 }), ..square() };
    assert!(divided(twice(), 31)? && !divided(twice(), 32)?);
    // The longer side of a wide matrix: 14336 / (61 + 61^2 / 4096) = 231.6.
    let wide = || tail_shrink("w", (4096, 14336), 61);
    assert!(divided(wide(), 231)? && !divided(wide(), 232)?);
    // 6 * 256 * 256 * 4 = 1.6e6 flops are enough for one rank.
    assert!(!divided(tail_shrink("w", (256, 256), 4), 2)?);
    assert!(divided(tail_shrink("w", (512, 256), 4), 3)?);
    // 8 KiB for each of four ranks, and a row less.
    assert!(divided(work("w", (128, 64), 81920.0, ENTRYWISE), 4)?);
    assert!(!divided(work("w", (127, 64), 81280.0, ENTRYWISE), 4)?);
    let placement = Placing::AUTO.place(vec![wide(), square()], 8)?;
    let longer = [Division::even((4096, 14336), Axis::Cols, 8), Division::even((4096, 4096), Axis::Rows, 8)];
    assert_eq!(placement.divisions(), longer.map(Some));
    assert_eq!(placement.imbalance(), 1.0);
    // Alone, an owner would have everything to do.
    let alone = Placing::AUTO.place(vec![square()], 64)?;
    assert_eq!(alone.divisions(), [Some(Division::even((4096, 4096), Axis::Rows, 64))]);
    Ok(())
}

/// A 10 x 4 matrix in rows of 3, 3, 4 under tail shrink with k = 1; a 2 x 3 one of rank 0's, a 6-vector of rank 1's.
#[test]
fn words_are_what_is_sent() -> Result {
    let all =
        vec![tail_shrink("a", (10, 4), 1), work("b", (2, 3), 500.0, None), work("c", (1, 6), 60.0, None)];
    let placement = Placing::new(Mode::Divided).place(all, 3)?;
    assert_eq!(placement.loads(), [72.0 + 500.0, 72.0 + 60.0, 96.0]);
    let words = |rank| {
        let words = placement.words(rank);
        (words.gradients, words.sums, words.weights)
    };
    // Gradients of what is not here, own weights to two others; sums: 2 (4 + 1 + 1) 2/3 = 8.
    assert_eq!(words(0), (52.0 - 18.0, 8.0, 36.0));
    assert_eq!(words(1), (52.0 - 18.0, 8.0, 36.0));
    assert_eq!(words(2), (52.0 - 16.0, 8.0, 32.0));
    assert_eq!(placement.words(2).total(), 76.0);
    // In the mean 2 mn f and the sums: 104 * 2/3 + 8.
    let mean = (0..3).map(|rank| placement.words(rank).total()).sum::<f64>() / 3.0;
    assert!((mean - (104.0 * 2.0 / 3.0 + 8.0)).abs() < 1e-12);
    assert_eq!(placement.collectives(), 3);

    let alone = Placing::AUTO.place(vec![tail_shrink("a", (10, 4), 1)], 1)?;
    assert_eq!((alone.words(0).total(), alone.collectives()), (0.0, 0));
    let owners = Placing::AUTO.place(vec![tail_shrink("a", (10, 4), 1)], 2)?;
    assert_eq!(owners.collectives(), 2);
    // Columns take a second sum in each sweep, the most sweeps of all: 1 + 3 + 3 + 1.
    let often =
        Work { sharding: Some(Sharding::Sweeps { rank: 1, sweeps: 3 }), ..tail_shrink("b", (4, 10), 1) };
    let both = Placing::new(Mode::Divided).place(vec![tail_shrink("a", (10, 4), 1), often], 2)?;
    assert_eq!(both.collectives(), 8);
    Ok(())
}

#[test]
fn users_have_the_last_word() -> Result {
    let all = || {
        vec![
            tail_shrink("l.0.w", (64, 64), 1),
            tail_shrink("l.1.w", (64, 64), 1),
            work("p", (8, 8), 1.0, None),
        ]
    };
    let divided = |placing: Placing| -> core::result::Result<Vec<bool>, Error> {
        let placement = placing.place(all(), 4)?;
        Ok(placement.divisions().iter().flatten().map(|division| division.owner().is_none()).collect())
    };
    assert_eq!(divided(Placing::AUTO)?, [false; 3]);
    assert_eq!(divided(Placing::AUTO.matching("l.*", Mode::Divided))?, [true, true, false]);
    let last = Placing::new(Mode::Divided).matching("l.*", Mode::Owners).matching("l.1.*", Mode::Divided);
    assert_eq!(divided(last)?, [false, true, false]);
    assert_eq!(refused(Placing::AUTO.matching("q", Mode::Owners).place(all(), 4)).as_deref(), Some("q"));
    assert_eq!(refused(Placing::AUTO.matching("*", Mode::Divided).place(all(), 4)).as_deref(), Some("p"));
    assert_eq!(refused(Placing::AUTO.matching("*", Mode::LowRank).place(all(), 4)).as_deref(), Some("l.0.w"));
    assert_eq!(refused(Placing::AUTO.place(all(), 0)).as_deref(), Some("ranks"));
    Ok(())
}

/// Dion on LLaMA-like shapes: the words and the calls of the low-rank exchange, against owners.
#[test]
fn the_low_rank_exchange_sends_products_alone() -> Result {
    let plan = Plan::builder().build([
        ("layers.0.up.weight", &[400, 100][..]),
        ("layers.0.norm.weight", &[100]),
        ("layers.1.up.weight", &[400, 100]),
        ("layers.1.norm.weight", &[100]),
    ])?;
    let optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset("dion")?, plan.parameters())?;
    let placed = |mode: Mode, ranks| Placing::new(mode).place(optimizer.work(), ranks);
    let (low, owners) = (placed(Mode::LowRank, 4)?, placed(Mode::Auto, 4)?);
    // Two of 2 (400 + 100) 25 * 3/4, in two calls; the norms have owners.
    let words: Vec<_> = (0..4).map(|rank| low.words(rank).low_rank).collect();
    assert_eq!((words, low.collectives()), (vec![37_500.0; 4], 4));
    assert_eq!((owners.words(0).low_rank, owners.collectives()), (0.0, 2));
    let mean = |placement: &Placement| (0..4).map(|rank| placement.words(rank).total()).sum::<f64>() / 4.0;
    assert_eq!((mean(&low), mean(&owners)), (37_500.0 + 300.0, 120_000.0 + 300.0));
    // All ranks have all of the work.
    let flops = 8.0 * 40_000.0 * 25.0 + 4.0 * 400.0 * 625.0;
    assert_eq!(low.loads(), [2.0 * flops + 1000.0, 2.0 * flops + 1000.0, 2.0 * flops, 2.0 * flops]);
    assert_eq!(placed(Mode::LowRank, 1)?.collectives(), 0);
    let table = low.to_string();
    for part in [
        "2 x  400 x 100  dion",
        "low rank",
        "37,500",
        "4 ranks: 0 divided, 2 owned, 0 frozen, 2 at low rank",
        "by Dion: 37,500",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    Ok(())
}

#[cfg(feature = "serde")]
#[test]
fn a_placing_has_a_form() {
    let placing = Placing::new(Mode::LowRank).matching("*.o_proj.*", Mode::Owners);
    let text = serde_json::to_string(&placing).expect("it has");
    assert_eq!(text, r#"{"mode":"LowRank","exceptions":[["*.o_proj.*","Owners"]]}"#);
    let read = |text: &str| serde_json::from_str::<Placing>(text);
    assert_eq!(read(&text).expect("its own"), placing);
    assert_eq!(read("{}").expect("nothing is the default"), Placing::AUTO);
    assert!(read(r#"{"mod":"Auto"}"#).is_err() && read(r#"{"mode":"None"}"#).is_err());
}

/// Which presets step parts of a 400 x 100 matrix, and of which rank.
#[test]
fn rules_say_whether_they_step_parts() -> Result {
    let of = |name: &str| -> core::result::Result<Option<Sharding>, Error> {
        Ok(UpdateRule::<Dense<f32>>::sharding(&Method::preset(name)?, (400, 100)))
    };
    // round(0.015 * 100) = 2.
    assert_eq!(of("spectra")?, Some(Sharding::Sweeps { rank: 2, sweeps: 1 }));
    let entrywise = ["adamw", "signum", "ademamix", "sgd-m", "lion"];
    for (name, ..) in Method::presets() {
        let expected = match name {
            "dion" => Some(Sharding::LowRank { rank: 25 }),
            _ if entrywise.contains(&name) => ENTRYWISE,
            _ => None,
        };
        assert!(name == "spectra" || of(name)? == expected, "{name}");
    }
    let sharding = |recipe: &Recipe| UpdateRule::<Dense<f32>>::sharding(recipe, (400, 100));
    let spectra = Recipe::preset("spectra")?;
    let map = |map| sharding(&spectra.with_map(SpectralMap::TailShrink(map)));
    assert_eq!(map(TailShrink { refresh_every: 2, ..TailShrink::PAPER }), None);
    assert_eq!(map(TailShrink { rank_ratio: 1.0, ..TailShrink::PAPER }), None);
    let mut power = TailShrink::PAPER.power;
    power.iterations = 3;
    assert_eq!(map(TailShrink { power, ..TailShrink::PAPER }), Some(Sharding::Sweeps { rank: 2, sweeps: 3 }));
    // RMS matching of a direction that nothing is done to needs a norm of its own.
    assert_eq!(sharding(&spectra.with_map(SpectralMap::Identity)), None);
    let product = spectra_core::scales::StepScale::InnerProduct;
    assert_eq!(sharding(&Recipe { scale: product, ..spectra }), None);
    // (m + n) r words in the place of mn: 500 r < 40,000.
    let dion = |columns| {
        let rule = Dion { rank: DionRank::Columns(columns), ..Dion::SIMPLE };
        UpdateRule::<Dense<f32>>::sharding(&rule, (400, 100))
    };
    assert_eq!((dion(79), dion(80)), (Some(Sharding::LowRank { rank: 79 }), None));
    let clipped = Clipped::new(Recipe::preset("adamw")?, Clip::new(SoftClip::AUTO, 1.0));
    assert_eq!(UpdateRule::<Dense<f32>>::sharding(&clipped, (400, 100)), None);
    Ok(())
}

/// For m = 300, n = 200.
#[test]
fn flops_are_those_of_the_formulas() -> Result {
    let of = |name: &str| -> core::result::Result<f64, Error> {
        Ok(UpdateRule::<Dense<f32>>::flops(&Method::preset(name)?, (300, 200)))
    };
    let (mn, s, l) = (60_000.0, 200.0, 300.0);
    let entrywise = 10.0 * mn;
    let polar = 5.0 * (4.0 * s * s * l + 2.0 * s * s * s);
    let grams = |factor: f64| entrywise + factor * mn * (300.0 + 200.0) + 0.9 * (2.7e7 + 8e6);
    assert_eq!(of("adamw")?, entrywise);
    assert_eq!(of("spectra")?, entrywise + 6.0 * mn * 3.0);
    assert_eq!(of("muon")?, entrywise + polar);
    assert_eq!(of("normuon")?, entrywise + polar + entrywise);
    assert_eq!(of("adamw-cautious")?, entrywise + 12.0 * mn);
    assert_eq!(of("muon-hyperball")?, entrywise + polar + 8.0 * mn);
    assert_eq!(of("spectra-adamw")?, entrywise + 4.0 * s * s * l + 24.0 * s * s * s);
    // r = 50, on the longer side.
    assert_eq!(of("dion")?, 8.0 * mn * 50.0 + 4.0 * 300.0 * 2500.0);
    // A quarter of the 200 columns: 300 x 50.
    let slices = 5.0 * (4.0 * 2500.0 * 300.0 + 2.0 * 125_000.0);
    assert_eq!(of("dion2")?, slices + 6.0 * 50.0 * mn + 4.0 * mn);
    // Sums of three terms of about 1e8.
    let soap = entrywise + 5.0 * mn * 500.0 + 0.1 * (4.0 * mn * 500.0 + 5.0 * (2.7e7 + 8e6));
    assert!((of("soap")? - soap).abs() < 1e-6);
    assert!((of("shampoo")? - grams(4.0)).abs() < 1e-6);
    Ok(())
}

/// What comes around a rule decides, too.
#[test]
fn clips_of_gradients_take_the_whole_matrix_and_rounding_does_not() -> Result {
    let shapes = [("up.weight", &[400, 100][..]), ("norm.weight", &[100])];
    let sharding = |config: Config, rounding: Option<Rounding>| -> core::result::Result<Vec<_>, Error> {
        let mut plan = Plan::builder().build(shapes)?;
        if let Some(rounding) = rounding {
            let format = spectra_core::linalg::SixteenBits::Bf16;
            plan = plan.with_rounding(rounding, |_| Some(format));
        }
        let optimizer = Optimizer::new(Dense::<f32>::new(), config, plan.parameters())?;
        Ok(optimizer.work().iter().map(|work| work.sharding).collect())
    };
    let (config, two) = (Config::preset("spectra")?, Some(Sharding::Sweeps { rank: 2, sweeps: 1 }));
    assert_eq!(sharding(config, None)?, [two, ENTRYWISE]);
    assert_eq!(sharding(config.pre_clip(PreClip::new(1.0)), None)?, [None, ENTRYWISE]);
    let all = PreClip { all: true, ..PreClip::new(1.0) };
    assert_eq!(sharding(config.pre_clip(all), None)?, [None, None]);
    for rounding in [Rounding::Master, Rounding::Nearest, Rounding::Stochastic { seed: 1 }] {
        assert_eq!(sharding(config, Some(rounding))?, [two, ENTRYWISE]);
    }
    Ok(())
}

#[test]
fn a_placement_prints_as_a_table() -> Result {
    let plan = Plan::builder()
        .rule("layers.2.*", Rule::Frozen)
        .group("*.polar.*", |group| group.named("polar"))
        .build([
            ("embed_tokens.weight", &[1000, 400][..]),
            ("layers.0.up.weight", &[1200, 400]),
            ("layers.0.polar.weight", &[100, 100]),
            ("layers.0.norm.weight", &[400]),
            ("layers.1.up.weight", &[1200, 400]),
            ("layers.1.polar.weight", &[100, 100]),
            ("layers.1.norm.weight", &[400]),
            ("layers.2.up.weight", &[1200, 400]),
        ])?;
    let rules = Rules::new().with("polar", Recipe::preset("muon")?);
    let config = Config::preset("spectra")?;
    let optimizer = Optimizer::with_rules(Dense::<f32>::new(), config, plan.parameters(), rules)?;
    let table = Placing::AUTO.place(optimizer.work(), 4)?.to_string();
    assert_eq!(table, TABLE.trim_start(), "\n{table}");
    Ok(())
}

const TABLE: &str = "
parameter                  count  shape       rule                               where        crossover   flops  words per rank
embed_tokens.weight          1 x  1000 x 400  adam + identity                    rows / 4             -   3.7 %         600,000
layers.{0,1}.up.weight       2 x  1200 x 400  momentum + tail shrink             rows / 4           197  40.8 %       1,447,311
layers.{0,1}.polar.weight    2 x  100 x 100   averaged momentum + orthogonalize  ranks {0,1}          -  55.6 %          30,000
layers.{0,1}.norm.weight     2 x  1 x 400     adam + identity                    ranks {2,3}          -   0.0 %           1,200
layers.2.up.weight           1 x  1200 x 400  frozen                             -                    -   0.0 %               0
4 ranks: 3 divided, 4 owned, 1 frozen
flops of each rank: 4.21e7 4.21e7 1.20e7 1.20e7
words of each rank: 2.088e6 2.088e6 2.069e6 2.069e6
flops of a rank: 2.709e7 in the mean, 1.555 times as many at most
words of a rank: 2,078,511 in the mean, 2,088,111 at most; summed by tail shrink: 7,311
collectives: 3";
