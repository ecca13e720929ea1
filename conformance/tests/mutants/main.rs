//! Deliberately broken backends: the suite refuses every one of them, by the check that is meant for it.
//!
//! Each is the portable backend with one defect. A check that no defect can fail would be no check. Most of the checks of
//! whole algorithms are tried with defects that a check of one operation finds too: they must not hide behind a tolerance.

mod broken;
mod bug;
mod elementwise;
mod fused;
mod gradient_range;
mod hooks;
mod products;
mod reductions;
mod scalars;
mod sharing;
mod small_factors;
mod storage;

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
    let report = suite::run(&broken::<f64>(&Sound).with_second_handle(Clone::clone), &[]);
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
    dead_columns_are_not_counted: small_factors::UncountedDead => small_factors::small_factor_dead_columns, f32 f64;
    gram_schmidt_passes_once: small_factors::OnePass => small_factors::gram_schmidt, f32 f64;
    dependent_column_keeps_a_direction: small_factors::CompletedBasis => small_factors::gram_schmidt_dependent, f32 f64;
    random_columns_depend_on_the_shape: small_factors::OtherNumbers => small_factors::seed_zero_columns, f32 f64;
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
