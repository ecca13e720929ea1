//! Deliberately broken backends: the suite refuses every one of them, by the check that is meant for it.
//!
//! Each is the portable backend with one defect. A check that no defect can fail would be no check. Most of the checks of
//! whole algorithms are tried with defects that a check of one operation finds too: they must not hide behind a tolerance.

mod broken;
mod bug;
mod calls;
mod elementwise;
mod fused;
mod gradient_range;
mod hooks;
mod products;
mod reductions;
mod rounding;
mod scalars;
mod sharing;
mod sizes;
mod small_factors;
mod special;
mod storage;
mod unknown_norms;

use broken::Broken;
use hooks::Bug;
use spectra_conformance::checks;
use spectra_conformance::suite::{self, Failure, Outcome, Subject};
use spectra_core::backend::Element;

/// The check fails on the broken backend, for a reason that lies in the backend. That it passes on the portable one, in the
/// same wrapper, is [`the_wrapper_is_sound`].
fn assert_found(defect: &str, broken: Outcome) {
    match broken {
        Ok(measured) => panic!("the check does not find {defect}: {measured}"),
        Err(Failure::Suite { reason }) => panic!("the check breaks down on {defect}: {reason}"),
        Err(failure) => println!("{defect}: {failure}"),
    }
}

fn broken<E: Element>(bug: &'static dyn Bug<E>) -> Subject<Broken<E>> {
    Subject::new(Broken(bug))
}

/// No defect.
#[derive(Clone, Copy, Debug)]
struct Sound;

impl<E: Element> Bug<E> for Sound {
    fn defect(&self) -> &'static str {
        "nothing"
    }
}

#[test]
fn the_wrapper_is_sound() {
    let report = suite::run(&broken::<f64>(&Sound).with_second_handle(Clone::clone).on_threads(), &[]);
    assert!(report.passed(), "{report}");
}

/// A test for each broken backend, in the precision or precisions that show its defect.
macro_rules! mutants {
    ($($name:ident: $bug:expr => $group:ident::$check:ident, $($element:ident)+;)*) => {
        $(#[test] fn $name() { $(
            assert_found(
                Bug::<$element>::defect(&$bug),
                checks::$group::$check(&broken::<$element>(&$bug)),
            );
        )+ })*
    };
}

mutants! {
    zeros_are_not_cleared: storage::DirtyZeros => storage::zeros, f32 f64;
    values_pass_through_single_precision: storage::NarrowWrite => storage::write_then_read, f64;
    upload_flushes_denormals: storage::FlushedDenormals => storage::write_then_read, f32 f64;
    wrong_length_is_cut: storage::CutLength => shapes::length_errors, f32 f64;

    sixteen_bits_are_full_width: storage::FullWidth => storage::sixteen_bits, f32 f64;
    sixteen_bits_are_of_the_other_format: storage::OtherFormat => storage::sixteen_bits, f32 f64;
    sixteen_bits_are_cut: storage::TowardsZero => storage::sixteen_bits, f32 f64;
    sweep_multiplies_before_it_rounds: storage::UnroundedSweep => storage::sixteen_bits, f32 f64;

    beta_of_zero_reads_the_output: elementwise::ReadsOutput => elementwise::scale_add, f32 f64;
    alpha_and_beta_are_exchanged: elementwise::ExchangedCoefficients => elementwise::scale_add, f32 f64;
    device_part_of_a_coefficient_is_ignored: elementwise::IgnoredDeviceScalar => elementwise::product_add, f32 f64;
    device_scalar_has_the_wrong_sign: elementwise::WrongSign => elementwise::scale_add, f32 f64;
    shape_is_checked_by_count: elementwise::CountedShape => shapes::shape_errors, f32 f64;
    last_entry_is_dropped: elementwise::DroppedEntry => elementwise::scale_add, f32 f64;
    first_operand_is_used_twice: elementwise::OperandTwice => elementwise::product_add, f32 f64;
    root_is_missing: elementwise::MissingRoot => elementwise::quotient_add, f32 f64;
    eps_is_larger: elementwise::LargerEps => elementwise::quotient_add, f32 f64;
    eps_is_inside_the_root: elementwise::EpsInsideRoot => elementwise::quotient_add, f32 f64;
    sign_of_zero_is_one: elementwise::SignOfZero => elementwise::sign_add, f32 f64;
    sign_of_nan_is_zero: elementwise::SignOfNan => elementwise::elementwise_non_finite, f32 f64;

    transposition_is_ignored_for_squares: products::IgnoredTransposition => products::gemm, f32 f64;
    beta_of_a_product_is_ignored: products::IgnoredBeta => products::gemm, f32 f64;
    last_inner_index_is_dropped: products::DroppedInner => products::gemm, f32 f64;
    products_have_ten_bits: products::TenBits => products::gemm, f32;
    doubles_accumulate_in_single_precision: products::SingleAccumulation => products::gemm, f64;
    long_sums_accumulate_in_single_precision: products::LateSingleAccumulation => products::gemm_long_inner, f64;
    zeros_are_skipped: products::SkippedZeros => products::gemm_non_finite, f32 f64;
    empty_product_leaves_the_output: products::EmptyProduct => products::gemm_empty_inner, f32 f64;
    symmetric_product_has_one_triangle: products::OneTriangle => products::gemm_symmetric, f32 f64;

    dot_is_a_norm: reductions::RootOfDot => reductions::dot, f32 f64;
    dot_adds_one_by_one: reductions::OneByOne => reductions::dot, f32;
    long_dot_is_in_single_precision: reductions::LateSingleDot => reductions::dot, f64;
    dot_depends_on_the_call: reductions::RestlessDot => reductions::repeated_calls_agree, f64;
    maximum_has_no_absolute_value: reductions::SignedMaximum => reductions::max_abs, f32 f64;
    maximum_drops_nan: reductions::NanDropped => reductions::max_abs_non_finite, f32 f64;
    maximum_drops_the_last_row: reductions::LastRowDropped => reductions::max_abs_non_finite, f32 f64;

    adam_uses_the_old_moments: fused::OldMoments => fused::adam_add, f32 f64;
    adam_complements_in_single_precision: fused::RoundedComplement => fused::adam_add, f32 f64;
    look_ahead_is_left_out: fused::NoLookAhead => fused::entrywise_add, f32 f64;
    sign_is_not_taken: fused::NoSign => fused::entrywise_add, f32 f64;
    gradient_is_not_weighed: fused::FullWeight => fused::entrywise_add, f32 f64;
    state_is_read_for_a_memory_of_zero: fused::ReadState => fused::entrywise_add, f32 f64;
    slow_part_forgets_as_the_fast_one: fused::FastSlowPart => fused::entrywise_add, f32 f64;
    sign_of_the_new_momentum: fused::NewMomentum => fused::entrywise_add, f32 f64;
    betas_of_lion_are_exchanged: fused::ExchangedLion => fused::entrywise_add, f32 f64;
    correction_is_added: fused::AddedCorrection => fused::mars_add, f32 f64;
    mars_is_not_clipped: fused::Unclipped => fused::mars_add, f32 f64;
    mars_is_clipped_by_squares: fused::ClippedBySquares => fused::mars_add, f32 f64;
    last_gradient_has_no_factor: fused::UnscaledLast => fused::mars_add, f32 f64;
    memories_are_exchanged: fused::ExchangedBetas => fused::entrywise_add, f32 f64;
    old_moments_in_an_entrywise_rule: fused::OldMoments => fused::entrywise_add, f32 f64;
    unsquared_factor_in_an_entrywise_rule: gradient_range::UnsquaredFactor => fused::entrywise_add, f32 f64;
    factor_is_squared_apart: gradient_range::SquaredApart => gradient_range::entrywise_factor_range, f32 f64;
    factor_is_squared_apart_in_a_clipped_step: gradient_range::SquaredApart => gradient_range::norm_clip_range, f32;
    dot_has_less_range_than_it_says: gradient_range::ClaimedWide => gradient_range::dot_range, f32;
    maximum_is_one_of_squares: gradient_range::SquaredMaximum => gradient_range::max_abs_range, f32 f64;
    maximum_of_squares_in_a_clipped_step: gradient_range::SquaredMaximum => gradient_range::norm_clip_range, f64;
    maximum_of_squares_in_a_limit: gradient_range::SquaredMaximum => gradient_range::gradient_too_large, f32 f64;
    look_ahead_is_left_out_of_a_momentum: fused::NoLookAhead => directions::direction_momentum, f32 f64;
    look_ahead_is_left_out_of_a_sign: fused::NoLookAhead => directions::direction_signum, f32 f64;
    slow_part_of_a_preset_forgets: fused::FastSlowPart => presets::preset_spectra_ademamix, f32 f64;
    sign_left_out_of_a_clip: fused::NoSign => presets::preset_spectra_signum, f32 f64;
    sweep_precedes_the_update: fused::SweepFirst => power_iteration::power_iteration_update, f32 f64;
    sweep_returns_the_norm: fused::RootOfNorm => fused::power_sweep, f32 f64;
    sweep_keeps_the_old_gram_matrix: fused::StaleGram => fused::power_sweep, f32 f64;
    sweep_scales_once: fused::ScaledOnce => fused::power_sweep, f32 f64;
    low_rank_part_is_added: fused::AddedLowRank => fused::low_rank_add, f32 f64;
    rank_is_off_by_one: fused::RankOffByOne => tail_shrink::tail_shrink_paper, f32 f64;

    known_value_is_stale: scalars::StaleKnown => scalars::scalar_round_trip, f32 f64;
    known_value_is_stale_in_a_shrink: scalars::StaleKnown => tail_shrink::tail_shrink_extreme, f32;
    less_is_inverted: scalars::InvertedLess => scalars::scalar_combine, f32 f64;
    less_is_inverted_in_a_vector_clip: scalars::InvertedLess => soft_clip::soft_clip_vector, f32 f64;
    less_is_inverted_in_a_preset: scalars::InvertedLess => presets::preset_spectra, f32 f64;
    larger_factor_of_the_norm_clip: scalars::MaxForMin => presets::preset_sgd_m, f32 f64;
    larger_factor_of_the_clip_of_mars: scalars::MaxForMin => directions::direction_mars, f32 f64;
    smaller_of_two_norms: scalars::MinForMax => soft_clip::soft_clip_vector, f32 f64;

    triangle_is_mirrored_from_the_wrong_row: products::WrongMirror => products::gemm_symmetric, f32 f64;
    triangle_spoils_a_root: products::WrongMirror => inverse_sqrt::inverse_sqrt, f32 f64;
    triangle_spoils_muon: products::WrongMirror => polar::polar_muon, f32 f64;
    triangle_spoils_the_cubic: products::OneTriangle => polar::polar_cubic, f32 f64;
    single_precision_spoils_a_clip: products::SingleSymmetric => soft_clip::soft_clip_auto, f64;
    single_precision_spoils_fixed_steps: products::SingleSymmetric => soft_clip::soft_clip_fixed, f64;
    single_precision_spoils_a_polar_factor: products::SingleSymmetric => polar::polar_exact, f64;
    ten_bits_spoil_a_clip: products::TenBitSymmetric => soft_clip::soft_clip_auto, f32;
    ten_bits_spoil_the_published_steps: products::TenBits => polar::polar_express, f32;
    norm_for_its_square_in_the_gram_bound: reductions::RootOfDot => polar::polar_gram, f32 f64;
    ten_bits_spoil_a_clip_by_polar_factors: products::TenBits => hard_clip::hard_clip_polar, f32;
    last_inner_index_spoils_a_deflation: products::DroppedInner => hard_clip::hard_clip_auto, f32 f64;
    last_inner_index_spoils_a_threshold: products::DroppedInner => threshold::soft_threshold, f32 f64;
    last_inner_index_spoils_the_elastic_step: products::DroppedInner => threshold::elastic_threshold, f32 f64;
    last_inner_index_spoils_the_jump: products::DroppedInner => threshold::bang_bang_threshold, f32 f64;
    squared_lengths_spoil_a_decomposition: small_factors::SquaredLengths => threshold::schatten_threshold, f32 f64;
    norm_for_its_square_in_a_regularizer: reductions::RootOfDot => frank_wolfe::frank_wolfe_minimizers, f32 f64;
    norm_for_its_square_in_a_gap: reductions::RootOfDot => frank_wolfe::frank_wolfe_gap, f32 f64;
    norm_for_its_square_in_an_objective: reductions::RootOfDot => frank_wolfe::frank_wolfe_converges, f32 f64;

    last_entry_of_a_momentum_is_dropped: elementwise::DroppedEntry => directions::direction_momentum, f32 f64;
    sign_of_zero_moves_weights: elementwise::SignOfZero => directions::direction_signum, f32 f64;
    sign_of_zero_moves_a_preset: elementwise::SignOfZero => presets::preset_signum, f32 f64;
    eps_before_the_root: fused::EpsBeforeRoot => directions::direction_adam, f32 f64;
    eps_before_the_root_of_the_slow_part: elementwise::EpsInsideRoot => directions::direction_ademamix, f32 f64;
    squares_of_the_norm_clip_in_adamw: gradient_range::UnsquaredFactor => presets::preset_adamw, f32 f64;
    squares_of_the_norm_clip_in_mars: gradient_range::UnsquaredFactor => presets::preset_mars, f32 f64;
    old_moments_in_a_clip: fused::OldMoments => presets::preset_spectra_adamw, f32 f64;
    norm_clip_left_out_of_a_sweep: fused::UnscaledUpdate => presets::preset_spectra, f32 f64;
    low_rank_part_added_to_weights: fused::AddedLowRank => presets::preset_spectra, f32 f64;
    triangle_spoils_a_preset: products::WrongMirror => presets::preset_muon, f32 f64;
    triangle_spoils_a_preset_with_a_gram_bound: products::WrongMirror => presets::preset_muon_gram, f32 f64;
    single_precision_in_d_muon: products::SingleSymmetric => presets::preset_d_muon, f64;
    single_precision_in_frank_wolfe: products::SingleAccumulation => presets::preset_frank_wolfe, f64;
    slow_part_without_root: elementwise::MissingRoot => presets::preset_ademamix, f32 f64;

    order_of_sums_changes_a_run: reductions::RestlessDot => optimizer::optimizer_deterministic, f64;
    saved_values_lose_digits: storage::NarrowWrite => optimizer::saved_state_round_trip, f64;
    nan_in_a_saved_state: reductions::NanDropped => optimizer::foreign_state_is_refused, f32 f64;
    nan_in_a_gradient: reductions::NanFreeDot => optimizer::non_finite_gradient_is_refused, f32 f64;

    cholesky_factor_is_transposed: small_factors::TransposedFactor => small_factors::cholesky_inverse, f32 f64;
    normalizer_has_no_root: small_factors::SquaredLengths => small_factors::column_normalizer, f32 f64;
    eigenvalues_increase: small_factors::Increasing => small_factors::diagonalizer, f32 f64;
    eigenvectors_increase: small_factors::IncreasingEigenvectors => small_factors::eigenvectors, f32 f64;
    permutation_is_inverted: small_factors::TransposedSorter => small_factors::sorter, f32 f64;
    dead_columns_are_not_counted: small_factors::UncountedDead => small_factors::small_factor_dead_columns, f32 f64;
    tiny_squares_are_dead: small_factors::TinySquaresDead => small_factors::small_factor_range, f32 f64;
    two_scales_are_multiplied: small_factors::ScalesMultiplied => small_factors::small_factor_range, f64;
    rotation_is_judged_by_products_of_squares: small_factors::ProductOfSquares => small_factors::small_factor_range, f32 f64;
    gram_schmidt_passes_once: small_factors::OnePass => small_factors::gram_schmidt, f32 f64;
    dependent_column_keeps_a_direction: small_factors::CompletedBasis => small_factors::gram_schmidt_dependent, f32 f64;
    rounding_is_to_nearest: rounding::ToNearest => rounding::round_stochastic, f32 f64;
    draws_ignore_the_seed: rounding::NoSeed => rounding::round_stochastic, f32 f64;
    draws_begin_anew_in_each_row: rounding::RowByRow => rounding::round_stochastic, f32 f64;
    draws_follow_the_columns: rounding::ByColumns => rounding::round_stochastic, f32 f64;
    f16_is_rounded_as_bf16: rounding::OneFormat => rounding::round_stochastic, f32 f64;
    random_columns_depend_on_the_shape: small_factors::OtherNumbers => small_factors::seed_zero_columns, f32 f64;
}

// From some size on, and in remainders: each by the check of the operation.
mutants! {
    scale_loses_rows_beyond_4096: sizes::ScaleRows::<4096> => elementwise::scale_add_large, f32 f64;
    scale_loses_rows_beyond_16_bits: sizes::ScaleRows::<65_535> => elementwise::scale_add_large, f32 f64;
    product_of_entries_loses_rows: sizes::ProductRows::<4096> => elementwise::product_add_large, f32 f64;
    sign_loses_rows: sizes::SignRows::<4096> => elementwise::sign_add_large, f32 f64;
    scale_loses_entries_beyond_16_bits: sizes::ScaleEntries::<65_536> => elementwise::scale_add_large, f32 f64;
    scale_loses_entries_beyond_a_million: sizes::ScaleEntries::<1_000_000> => elementwise::scale_add_large, f32 f64;
    scale_loses_its_last_vector_of_2: sizes::ScaleTail::<2, 65_536> => elementwise::scale_add_large, f32 f64;
    scale_loses_its_last_vector_of_1024: sizes::ScaleTail::<1024, 1_000_000> => elementwise::scale_add_large, f32 f64;
    scale_loses_the_rest_of_short_rows: sizes::ScaleTail::<16, 17> => elementwise::scale_add_large, f32 f64;
    quotient_loses_its_last_vector: sizes::QuotientTail::<8, 65_536> => elementwise::quotient_add_large, f32 f64;
    copy_loses_its_last_vector: sizes::CopyTail::<4, 65_536> => elementwise::copy_from_large, f32 f64;
    write_loses_rows: sizes::WriteRows::<4096> => storage::large_transfers, f32 f64;
    write_loses_entries_beyond_20_bits: sizes::WriteEntries::<1_048_576> => storage::large_transfers, f32 f64;
    dot_loses_its_last_vector_of_4: sizes::DotTail::<4, 65_536> => reductions::dot_large, f32 f64;
    dot_loses_its_last_vector_of_256: sizes::DotTail::<256, 1_000_000> => reductions::dot_large, f32 f64;
    dot_loses_the_rest_of_short_rows: sizes::DotTail::<32, 33> => reductions::dot_large, f32 f64;
    maximum_loses_its_last_vector: sizes::MaxTail::<8, 65_536> => reductions::max_abs_large, f32 f64;
    maximum_loses_its_last_vector_beyond_a_million: sizes::MaxTail::<64, 1_000_000> => reductions::max_abs_large, f32 f64;

    product_loses_rows_beyond_4096: sizes::GemmRows::<4096> => products::gemm_large, f32 f64;
    product_loses_rows_beyond_16_bits: sizes::GemmRows::<65_535> => products::gemm_large, f32 f64;
    product_loses_columns_beyond_4096: sizes::GemmCols::<4096> => products::gemm_large, f32 f64;
    product_loses_its_last_tile: sizes::GemmTile::<64, 128> => products::gemm_large, f32 f64;
    product_loses_the_rest_of_a_tile: sizes::GemmTile::<32, 64> => products::gemm_every_remainder, f32 f64;
    long_product_loses_its_last_split: sizes::InnerTail::<16, 1024> => products::gemm_large, f32 f64;
    long_product_loses_one_remainder: sizes::InnerTail::<2, 1024> => products::gemm_every_remainder, f32 f64;
    last_of_two_columns_is_cut_short: sizes::LastColumnShort::<2, 2048> => products::gemm_large, f32 f64;
    last_of_three_columns_is_cut_short: sizes::LastColumnShort::<3, 2048> => products::gemm_large, f32 f64;
    remainder_of_1_is_lost: sizes::Remainder::<1> => products::gemm_every_remainder, f32 f64;
    remainder_of_17_is_lost: sizes::Remainder::<17> => products::gemm_every_remainder, f32 f64;
    remainder_of_31_is_lost: sizes::Remainder::<31> => products::gemm_every_remainder, f32 f64;
    tail_of_a_transposed_factor: sizes::TransposedTail::<8> => products::gemm_every_remainder, f32 f64;
    large_products_are_in_single_precision: sizes::SingleWhenLarge => products::gemm_large, f64;
    symmetric_product_loses_its_last_tile: sizes::SymmetricTile::<64, 128> => products::gemm_symmetric_large, f32 f64;
    symmetric_product_loses_the_rest_of_a_tile: sizes::SymmetricTile::<16, 64> => products::gemm_symmetric_every_remainder, f32 f64;
    first_factor_of_a_symmetric_product_twice: special::FirstFactorTwice => products::gemm_symmetric_operands, f32 f64;

    low_rank_is_capped_at_16: sizes::LowRankCap::<16> => fused::low_rank_add_large, f32 f64;
    low_rank_is_capped_at_64: sizes::LowRankCap::<64> => fused::low_rank_add_large, f32 f64;
    low_rank_is_capped_at_32: sizes::LowRankCap::<32> => fused::low_rank_add_every_rank, f32 f64;
    low_rank_loses_rows: sizes::LowRankRows::<4096> => fused::low_rank_add_large, f32 f64;
    sweep_is_capped_at_60: sizes::SweepCap::<60> => fused::power_sweep_large, f32 f64;
    sweep_is_capped_at_64: sizes::SweepCap::<64> => fused::power_sweep_every_rank, f32 f64;
    sweep_loses_rows: sizes::SweepRows::<4096> => fused::power_sweep_large, f32 f64;
    weights_lose_rows: sizes::StateRows::<4096, 0> => fused::entrywise_add_large, f32 f64;
    first_state_loses_rows: sizes::StateRows::<4096, 1> => fused::entrywise_add_large, f32 f64;
    second_state_loses_rows: sizes::StateRows::<4096, 2> => fused::entrywise_add_large, f32 f64;
    slow_state_loses_its_last_vector: sizes::StateTail::<8, 3> => fused::entrywise_add_large, f32 f64;
    first_state_loses_its_last_vector: sizes::StateTail::<64, 1> => fused::entrywise_add_large, f32 f64;
    seeding_loses_rows: sizes::SeedRows::<4096> => small_factors::seed_zero_columns, f32 f64;
    extents_wrap_around: sizes::WrappedProduct => storage::impossible_sizes, f32 f64;
}

// NaN, zeros, unread states, refusals, empty matrices, narrow coefficients.
mutants! {
    maximum_drops_a_negative_nan: special::NegativeNanDropped => reductions::max_abs_non_finite, f32 f64;
    sign_of_a_negative_nan: special::SignOfNegativeNan => elementwise::elementwise_non_finite, f32 f64;
    scale_replaces_an_old_nan: special::OldNanOfScale => elementwise::elementwise_non_finite, f32 f64;
    product_of_entries_replaces_an_old_nan: special::OldNanOfProduct => elementwise::elementwise_non_finite, f32 f64;
    quotient_replaces_an_old_nan: special::OldNanOfQuotient => elementwise::elementwise_non_finite, f32 f64;
    sign_replaces_an_old_nan: special::OldNanOfSign => elementwise::elementwise_non_finite, f32 f64;
    product_replaces_an_old_nan: special::OldNanOfGemm => products::gemm_non_finite, f32 f64;
    symmetric_product_replaces_an_old_nan: special::OldNanOfSymmetric => products::gemm_symmetric_non_finite, f32 f64;
    low_rank_replaces_an_old_nan: special::OldNanOfLowRank => fused::low_rank_add_non_finite, f32 f64;
    weights_replace_an_old_nan: special::OldNanOfState::<0> => fused::entrywise_add_non_finite, f32 f64;
    first_state_replaces_an_old_nan: special::OldNanOfState::<1> => fused::entrywise_add_non_finite, f32 f64;
    second_state_replaces_an_old_nan: special::OldNanOfState::<2> => fused::entrywise_add_non_finite, f32 f64;
    slow_state_replaces_an_old_nan: special::OldNanOfState::<3> => fused::entrywise_add_non_finite, f32 f64;
    sweep_replaces_an_old_nan: special::OldNanOfSweep => fused::power_sweep_non_finite, f32 f64;
    zeros_of_the_first_factor_are_skipped: special::SkippedLeftZeros => products::gemm_non_finite, f32 f64;
    zeros_of_a_sum_are_skipped: special::SkippedZerosOfDot => reductions::dot_non_finite, f32 f64;
    squares_of_a_live_column_vanish: special::SquaresVanish => small_factors::seed_zero_columns, f32 f64;
    sum_of_a_live_column_vanishes: special::SumIsZero => small_factors::seed_zero_columns, f32 f64;
    squares_of_an_independent_column_vanish: special::TinyColumnIsDead => small_factors::gram_schmidt, f32 f64;
    first_moment_is_read_for_a_memory_of_zero: special::ReadFirst => fused::entrywise_add, f32 f64;
    second_moment_is_read_for_a_memory_of_zero: special::ReadSecond => fused::entrywise_add, f32 f64;
    slow_momentum_is_read_for_a_memory_of_zero: special::ReadSlow => fused::entrywise_add, f32 f64;
    sweep_reads_a_momentum_for_a_memory_of_zero: special::ReadMomentum => fused::power_sweep, f32 f64;
    first_state_is_half_written: special::HalfWritten::<1> => shapes::shape_errors_of_rules, f32 f64;
    second_state_is_half_written: special::HalfWritten::<2> => shapes::shape_errors_of_rules, f32 f64;
    slow_state_is_half_written: special::HalfWritten::<3> => shapes::shape_errors_of_rules, f32 f64;
    output_is_cleared_first: special::ClearedOutput => shapes::shape_errors_of_fused, f32 f64;
    sweep_over_no_columns_forgets_the_update: special::NoColumns => fused::empty_fused, f32 f64;
    rank_of_zero_leaves_the_output: special::NoRank => fused::low_rank_add_every_rank, f32 f64;
    empty_rule_is_refused: special::EmptyRefused => fused::empty_fused, f32 f64;
    alpha_has_16_bits: special::HalfAlpha => elementwise::scale_add, f32 f64;
    alpha_has_32_bits: special::SingleAlpha => elementwise::scale_add, f64;
    alpha_of_a_product_has_16_bits: special::HalfAlphaOfGemm => products::gemm, f32 f64;
    alpha_of_a_product_has_32_bits: special::SingleAlphaOfGemm => products::gemm, f64;
    alpha_of_a_low_rank_update_has_32_bits: special::SingleAlphaOfLowRank => fused::low_rank_add, f64;
    alpha_of_a_sweep_has_16_bits: special::HalfAlphaOfSweep => fused::power_sweep, f32 f64;
    memory_of_a_sweep_has_16_bits: special::HalfMemory => fused::power_sweep, f32 f64;
    memories_have_16_bits: special::HalfBetas => fused::entrywise_add, f32 f64;
    eps_has_32_bits: special::SingleEps => elementwise::quotient_add, f64;
}

// What was called before, or at the same time. The periods are those of nothing else.
mutants! {
    scale_changes_on_the_5th_call: calls::RestlessScale::<5> => calls::repeated_calls, f32 f64;
    scale_changes_on_the_977th_call: calls::RestlessScale::<977> => calls::repeated_calls, f32 f64;
    product_of_entries_changes: calls::RestlessProduct::<64> => calls::repeated_calls, f32 f64;
    product_changes_on_the_100th_call: calls::RestlessGemm::<100> => calls::repeated_calls, f32 f64;
    symmetric_product_changes: calls::RestlessSymmetric::<30> => calls::repeated_calls, f32 f64;
    low_rank_changes: calls::RestlessLowRank::<501> => calls::repeated_calls, f32 f64;
    dot_changes_on_the_third_call: calls::RestlessDot::<3> => calls::repeated_calls, f32 f64;
    dot_changes_on_the_1000th_call: calls::RestlessDot::<1000> => calls::repeated_calls, f32 f64;
    dot_changes_on_the_5003rd_call: calls::RestlessDot::<5003> => calls::repeated_calls, f32 f64;
    maximum_changes: calls::RestlessMaximum::<31> => calls::repeated_calls, f32 f64;
    sweep_changes: calls::RestlessSweep::<60> => calls::repeated_calls, f32 f64;
    factor_changes: calls::RestlessFactor::<29> => calls::repeated_calls, f32 f64;
    state_changes: calls::RestlessStep::<90> => calls::repeated_calls, f32 f64;
    scale_keeps_its_first_coefficient: calls::RecordedScale::<1> => calls::repeated_calls, f32 f64;
    scale_keeps_its_50th_coefficient: calls::RecordedScale::<50> => calls::repeated_calls, f32 f64;
    product_keeps_its_third_coefficient: calls::RecordedGemm::<3> => calls::repeated_calls, f32 f64;
    low_rank_keeps_its_first_coefficient: calls::RecordedLowRank::<1> => calls::repeated_calls, f32 f64;
    product_keeps_a_packed_factor: calls::PackedOnce => calls::repeated_calls, f32 f64;
}

/// Runs the check of two threads in both precisions.
macro_rules! assert_race_is_found {
    ($bug:expr) => {
        assert_race_is_found!($bug, f32);
        assert_race_is_found!($bug, f64);
    };
    ($bug:expr, $element:ident) => {
        let subject = broken::<$element>(&$bug).on_threads();
        assert_found(Bug::<$element>::defect(&$bug), checks::threads::two_threads(&subject));
    };
}

#[test]
fn alpha_is_shared_by_threads() {
    assert_race_is_found!(calls::SharedAlpha);
    assert_race_is_found!(calls::SharedAlphaOfGemm);
}

#[test]
fn partial_sums_are_shared_by_threads() {
    assert_race_is_found!(calls::SharedPartials);
}

#[test]
fn temporaries_are_shared_by_threads() {
    assert_race_is_found!(calls::SharedTemporary);
}

/// Runs one check in both precisions on a backend whose handles share storage.
macro_rules! assert_sharing_is_found {
    ($defect:literal, $check:ident, copies share: $copies:literal) => {
        assert_sharing_is_found!($defect, $check, $copies, f32);
        assert_sharing_is_found!($defect, $check, $copies, f64);
    };
    ($defect:literal, $check:ident, $copies:literal, $element:ident) => {
        let shared =
            Subject::new(sharing::Shared::<$element, $copies>::new()).with_second_handle(Clone::clone);
        assert_found($defect, checks::handles::$check(&shared));
    };
}

#[test]
fn clones_share_storage_that_is_written_in_place() {
    assert_sharing_is_found!("a clone that shares storage", second_handles_are_untouched, copies share: false);
}

#[test]
fn copies_share_storage_that_is_written_in_place() {
    assert_sharing_is_found!("a copy that shares storage", copies_are_independent, copies share: true);
}
