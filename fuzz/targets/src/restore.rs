//! The restore that every file format of a framework is built on.

use serde::{Deserialize, Serialize};
use spectra_core::backend::{Backend, Error, ErrorKind, Matrix};
use spectra_core::dense::DenseMatrix;
use spectra_core::optimizer::{SavedParameter, StateHeader};
use spectra_core::state::SUBSPACE;

use crate::model::{config, state, step, trained};

/// A header, and the buffers in the order in which they are asked for.
#[derive(Deserialize, Serialize)]
struct State {
    header: StateHeader,
    buffers: Vec<(usize, usize, Vec<f32>)>,
}

/// A state as JSON: header, and buffers of any shape.
pub fn restore(data: &[u8]) -> bool {
    let Ok(State { header, buffers }) = serde_json::from_slice(data) else { return false };
    let mut optimizer = trained();
    let before = state(&optimizer);
    let mut given = Vec::new();
    let mut buffers = buffers.into_iter();
    let restored = optimizer.restore(&header, |_, _, _, _| {
        let missing = || Error::new("load", ErrorKind::State { reason: "a buffer is missing" });
        let (rows, cols, values) = buffers.next().ok_or_else(missing)?;
        let matrix = DenseMatrix::from_vec(rows, cols, values)?;
        given.push(matrix.clone());
        Ok(matrix)
    });
    if restored.is_ok() {
        let now = optimizer.header().expect("a restored optimizer is whole");
        let said = |header: &StateHeader| {
            let of = |saved: &SavedParameter| (saved.name.clone(), saved.rule.clone(), saved.steps);
            let mut said: Vec<_> = header.parameters.iter().map(of).collect();
            said.sort();
            said
        };
        assert_eq!((now.steps, said(&now)), (header.steps, said(&header)));
        assert_eq!(now.lr, config().expect("a sound preset").lr);
        let kept = optimizer.buffers().map(|(_, _, matrix)| matrix.clone()).collect::<Vec<_>>();
        // A subspace of another rank is made to fit.
        let fits = |(_, buffer, matrix): (&str, &str, &DenseMatrix<f32>)| {
            buffer == SUBSPACE || given.contains(matrix)
        };
        assert!(optimizer.buffers().all(fits), "{kept:?} of {given:?}");
    } else {
        assert_eq!(state(&optimizer), before);
    }
    assert!(step(&mut optimizer).is_ok(), "the next step");
    restored.is_ok()
}

/// The state of the trained model.
pub fn restore_seed() -> String {
    let optimizer = trained();
    let buffers = optimizer.buffers().map(|(_, _, matrix)| {
        let (rows, cols) = matrix.shape();
        (rows, cols, matrix.values().to_vec())
    });
    let state = State {
        header: optimizer.header().expect("a trained optimizer is whole"),
        buffers: buffers.collect(),
    };
    // The seed is one that a backend could have made.
    assert!(
        state
            .buffers
            .iter()
            .all(|(rows, cols, values)| optimizer.backend().upload(*rows, *cols, values).is_ok())
    );
    serde_json::to_string(&state).expect("finite numbers have a JSON form")
}
