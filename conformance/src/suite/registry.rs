//! The list of all checks: the one place where a check gets its name.

use spectra_core::backend::Backend;

use super::Check;

/// Expands `callback! { group { check check ... } ... }` with every check of the suite.
///
/// A check `c` of group `g` is the function `spectra_conformance::checks::g::c`.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_all_checks {
    ([$($callback:tt)+]) => {
        $($callback)+! {
            storage { write_then_read values_may_be_reused zeros empty_matrices large_transfers impossible_sizes sixteen_bits }
            rounding { round_stochastic }
            scalars { scalar_round_trip scalar_combine scalar_sqrt }
            elementwise {
                scale_add product_add quotient_add sign_add copy_from
                scale_add_large product_add_large quotient_add_large sign_add_large copy_from_large
                elementwise_non_finite elementwise_same_operand denormals_exact_or_zero
            }
            products {
                gemm gemm_long_inner gemm_empty_inner gemm_non_finite gemm_same_operand gemm_large gemm_every_remainder
                gemm_symmetric gemm_symmetric_operands gemm_symmetric_non_finite gemm_symmetric_large gemm_symmetric_every_remainder
            }
            reductions { dot dot_overflow dot_non_finite dot_large max_abs max_abs_non_finite max_abs_large repeated_calls_agree }
            fused {
                adam_add adam_add_non_finite adam_add_large entrywise_add entrywise_add_non_finite entrywise_add_large mars_add
                power_sweep power_sweep_non_finite power_sweep_large power_sweep_every_rank
                low_rank_add low_rank_add_non_finite low_rank_add_large low_rank_add_every_rank empty_fused
            }
            small_factors {
                cholesky_inverse column_normalizer diagonalizer eigenvectors sorter small_factor_dead_columns small_factor_range
                gram_schmidt gram_schmidt_dependent seed_zero_columns
            }
            shapes { shape_errors shape_errors_of_fused shape_errors_of_rules length_errors }
            handles { copies_are_independent second_handles_are_untouched }
            calls { repeated_calls }
            threads { two_threads }
            orthonormalize { orthonormalize_basis orthonormalize_ill_conditioned orthonormalize_extreme orthonormalize_dependent orthonormalize_large }
            power_iteration {
                power_iteration_paper power_iteration_large power_iteration_exact power_iteration_ill_conditioned
                power_iteration_extreme power_iteration_composes power_iteration_update power_iteration_as_its_default
                power_iteration_convergence power_iteration_bootstrap power_iteration_drift
                power_iteration_deficient power_iteration_zero power_iteration_deterministic
            }
            tail_shrink {
                tail_shrink_paper tail_shrink_exact tail_shrink_ill_conditioned tail_shrink_extreme tail_shrink_bootstrap tail_shrink_without_tail tail_shrink_low_rank
            }
            tail_shrink_rests { tail_shrink_between_refreshes tail_shrink_after_zero }
            inverse_sqrt { inverse_sqrt }
            polar { polar_exact polar_muon polar_cubic polar_express polar_gram }
            soft_clip { soft_clip_auto soft_clip_extreme soft_clip_fixed soft_clip_vector }
            hard_clip { hard_clip_auto hard_clip_extreme hard_clip_polar hard_clip_many_above }
            threshold { soft_threshold elastic_threshold bang_bang_threshold schatten_threshold }
            frank_wolfe { frank_wolfe_minimizers frank_wolfe_gap frank_wolfe_converges frank_wolfe_schatten }
            directions { direction_momentum direction_signum direction_lion direction_adam direction_ademamix direction_mars }
            presets {
                preset_spectra preset_spectra_adamw preset_spectra_signum preset_spectra_ademamix preset_spectra_mars
                preset_muon preset_muon_gram preset_d_muon preset_adamw_post_orth preset_frank_wolfe
                preset_adamw preset_signum preset_ademamix preset_mars preset_sgd_m preset_lion
                preset_scion preset_scion_unconstrained
            }
            optimizer {
                optimizer_deterministic saved_state_round_trip foreign_state_is_refused non_finite_gradient_is_refused
            }
            gradient_range { dot_range max_abs_range entrywise_factor_range norm_clip_range gradient_too_large }
            golden { golden_power_iteration golden_spectra_step golden_adamw }
            peers { dion_feedback soap_in_the_identity_basis shampoo_of_rank_one }
            compositions { second_moment_keeps_the_norm lion_under_scaling }
            golden_peers {
                golden_adamuon golden_cautious golden_dion golden_dion2 golden_hyperball golden_lion golden_normuon golden_polar_express
                golden_polargrad golden_qdwh golden_scion golden_shampoo golden_soap
            }
        }
    };
}

/// Every check, as functions on a backend of type B.
#[must_use]
pub fn checks<B: Backend>() -> Vec<Check<B>> {
    macro_rules! list {
        ($($group:ident { $($name:ident)* })*) => {
            vec![$($(Check {
                group: stringify!($group),
                name: stringify!($name),
                run: crate::checks::$group::$name::<B>,
            },)*)*]
        };
    }
    __with_all_checks!([list])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use spectra_core::dense::Dense;

    #[test]
    fn names_are_unique() {
        let checks = super::checks::<Dense<f64>>();
        let names: HashSet<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len());
    }
}
