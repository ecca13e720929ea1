//! The macro that gives a backend its tests.

use spectra_core::backend::Backend;

use super::{Outcome, Subject, checks, minimum_executed};

/// Gives a backend one named `#[test]` for each check and element type.
///
/// ```
/// # mod wrapper {
/// spectra_conformance::suite!(
///     dense,
///     || spectra_core::dense::Dense::new(),
///     elements = [f32, f64],
///     second_handle = Clone::clone,
///     skip = [power_iteration_drift],
/// );
/// # }
/// ```
///
/// The tests are `dense::f32::scale_add`, `dense::f64::scale_add` and so on.
///
/// * The name becomes a module where the macro stands. It must be none of a crate that the same file names: `suite!(dense, ..)`
///   beside `use dense::Dense` of a crate `dense` is an error of ambiguity (E0659), or of a path that is not found in the module.
///   `conformance` is a name that fits everywhere.
/// * The closure makes the backend; it is called once for each test. Where the backend's type depends on the
///   element type, leave it to be inferred.
/// * `elements`: any of `f32`, `f64`.
/// * `second_handle` (optional): a function that gives a second handle to a matrix, as a user of the framework
///   could hold one. Without it `Clone::clone` is taken; where matrices are not `Clone`, the check
///   `second_handles_are_untouched` fails until a function is given or the check is skipped.
/// * A backend that is `Send` is used from two threads at once by the check `two_threads`: the macro sees it. One that is
///   not passes by its type.
/// * `skip` (optional): checks that the backend cannot pass by its nature. Their tests are `#[ignore]`d, so they are
///   listed as ignored and never as passed. At most a quarter may be skipped.
#[macro_export]
macro_rules! suite {
    (
        $suite:ident, $make:expr, elements = [$($element:ident),+ $(,)?]
        , second_handle = $second_handle:expr
        $(, skip = [$($skip:ident),* $(,)?])? $(,)?
    ) => {
        $crate::__suite! {
            ($) $suite [$($element)+] [$($($skip)*)?] $make;
            |subject| subject.with_second_handle($second_handle)
        }
    };
    (
        $suite:ident, $make:expr, elements = [$($element:ident),+ $(,)?]
        $(, skip = [$($skip:ident),* $(,)?])? $(,)?
    ) => {
        $crate::__suite! {
            ($) $suite [$($element)+] [$($($skip)*)?] $make;
            |subject| (&$crate::suite::detect::Types::of(&subject)).with_handles(subject)
        }
    };
}

/// The expansion of [`suite!`]: `$d` is a dollar sign, for the inner macro that tells skipped checks apart.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (
        ($d:tt) $suite:ident [$($element:ident)+] [$($skip:ident)*] $make:expr; |$subject:ident| $prepare:expr
    ) => {
        #[allow(clippy::redundant_closure, clippy::needless_borrow, reason = "the closure is the caller's")]
        mod $suite {
            macro_rules! register {
                $(($skip $d test:item) => { #[test] #[ignore = "declared as skipped"] $d test };)*
                ($d name:ident $d test:item) => { #[test] $d test };
            }
            $crate::__suite! { @elements [$($element)+] [$($skip)*] $make; |$subject| $prepare }
        }
    };
    (@elements [$($element:ident)+] $skip:tt $make:expr; |$subject:ident| $prepare:expr) => {
        $($crate::__suite! { @element $element $skip $make; |$subject| $prepare })+
    };
    (@element $element:ident [$($skip:ident)*] $make:expr; |$subject:ident| $prepare:expr) => {
        mod $element {
            #[allow(unused_imports, reason = "what the caller's closure names")]
            use super::super::*;

            fn subject() -> $crate::suite::Subject<impl $crate::backend::Backend<Element = $element>> {
                fn of_element<B: $crate::backend::Backend<Element = $element>>(
                    make: impl FnOnce() -> B,
                ) -> $crate::suite::Subject<B> {
                    $crate::suite::Subject::new(make())
                }
                #[allow(unused_imports, reason = "one of each pair, and none where a second handle is given")]
                use $crate::suite::detect::{
                    Cloneable as _, NotCloneable as _, NotSendable as _, Sendable as _,
                };
                let $subject = of_element($make);
                let $subject = (&$crate::suite::detect::Types::of(&$subject)).with_threads($subject);
                $prepare
            }

            #[test]
            fn skipped_checks_exist_and_are_few() {
                $crate::suite::assert_skips_are_checks(&subject(), &[$(stringify!($skip)),*]);
            }

            $crate::__with_all_checks! { [$crate::__suite_tests] }
        }
    };
}

/// One `register!` for each check.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ($($group:ident { $($name:ident)* })*) => {
        $($(register! { $name fn $name() {
            let outcome = $crate::checks::$group::$name(&subject());
            $crate::suite::assert_passes(outcome);
        } })*)*
    };
}

/// Panics with the reason unless the check passed.
#[doc(hidden)]
pub fn assert_passes(outcome: Outcome) {
    match outcome {
        Ok(measured) => println!("{measured}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Panics unless every skipped name is a check's and enough checks are left.
#[doc(hidden)]
pub fn assert_skips_are_checks<B: Backend>(_: &Subject<B>, skip: &[&str]) {
    let checks = checks::<B>();
    for name in skip {
        assert!(checks.iter().any(|check| check.name == *name), "there is no check {name:?} to skip");
    }
    let executed = checks.iter().filter(|check| !skip.contains(&check.name)).count();
    let minimum = minimum_executed(checks.len());
    assert!(executed >= minimum, "only {executed} of {} checks run, at least {minimum} must", checks.len());
}
