//! What a backend's types allow, found out where the suite is registered and they are known.
//!
//! Two traits have a method of one name, one for a type and one for a reference to it. A call on a reference finds the first
//! where its bound holds, and needs one reference more for the second.

use core::marker::PhantomData;

use spectra_core::backend::Backend;

use super::Subject;

/// Asks about the types of a subject.
#[doc(hidden)]
#[derive(Debug)]
pub struct Types<B>(PhantomData<B>);

impl<B: Backend> Types<B> {
    #[must_use]
    pub fn of(_: &Subject<B>) -> Self {
        Self(PhantomData)
    }
}

#[doc(hidden)]
pub trait Sendable<B: Backend> {
    fn with_threads(&self, subject: Subject<B>) -> Subject<B>;
}

impl<B: Backend + Send> Sendable<B> for Types<B> {
    fn with_threads(&self, subject: Subject<B>) -> Subject<B> {
        subject.on_threads()
    }
}

#[doc(hidden)]
pub trait NotSendable<B: Backend> {
    fn with_threads(&self, subject: Subject<B>) -> Subject<B>;
}

impl<B: Backend> NotSendable<B> for &Types<B> {
    fn with_threads(&self, subject: Subject<B>) -> Subject<B> {
        subject.on_one_thread()
    }
}

#[doc(hidden)]
pub trait Cloneable<B: Backend> {
    fn with_handles(&self, subject: Subject<B>) -> Subject<B>;
}

impl<B: Backend<Matrix: Clone>> Cloneable<B> for Types<B> {
    fn with_handles(&self, subject: Subject<B>) -> Subject<B> {
        subject.with_second_handle(Clone::clone)
    }
}

#[doc(hidden)]
pub trait NotCloneable<B: Backend> {
    fn with_handles(&self, subject: Subject<B>) -> Subject<B>;
}

impl<B: Backend> NotCloneable<B> for &Types<B> {
    fn with_handles(&self, subject: Subject<B>) -> Subject<B> {
        subject
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use spectra_core::backend::{Backend, Result};
    use spectra_core::dense::{Dense, DenseMatrix};

    use super::{Cloneable as _, NotSendable as _, Sendable as _, Types};
    use crate::RequiredOnly;
    use crate::checks::threads::two_threads;
    use crate::suite::Subject;

    /// Stays on its thread.
    #[derive(Clone, Debug)]
    struct Local(#[allow(dead_code, reason = "its type is what matters")] Rc<()>);

    impl Backend for Local {
        type Element = f64;
        type Scalar = f64;
        type Matrix = DenseMatrix<f64>;

        fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
            Dense::new().zeros(rows, cols, None)
        }
        fn scalar(&self, value: f64) -> Result<f64> {
            Ok(value)
        }
    }

    #[test]
    #[allow(
        clippy::needless_borrow,
        reason = "the reference is what makes the second trait reachable, as in the macro"
    )]
    fn what_can_be_sent_and_cloned_is_seen() {
        let subject = Subject::new(RequiredOnly(Dense::<f32>::new()));
        let subject = (&Types::of(&subject)).with_threads(subject);
        assert!((&Types::of(&subject)).with_handles(subject.clone()).second_handle().is_some());
        let measured = two_threads(&subject).unwrap();
        assert!(measured.worst.contains("from two threads"), "{}", measured.worst);
    }

    #[test]
    fn what_cannot_be_sent_is_on_one_thread_by_its_type() {
        let subject = Subject::new(Local(Rc::new(())));
        assert!(two_threads(&subject).is_err(), "nothing is known of its type");
        let subject = (&Types::of(&subject)).with_threads(subject);
        let measured = two_threads(&subject).unwrap();
        assert!(measured.worst.contains("not Send"), "{}", measured.worst);
    }
}
