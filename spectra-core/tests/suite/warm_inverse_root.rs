//! Why no map here starts a polar factor from the `(M M^T)^(-1/2)` of the step before.
//!
//! One Newton step of a kept `Z`, made symmetric as the kept matrix has to be, is `Z <- Z + (Z R + R Z) / 4` with `R = I - Z A Z`, `A = M M^T`. About
//! `Z = A^(-1/2)`, in the eigenvectors of A with `A = diag(h^2)`, the errors `E_ij` of Z become
//!
//! `E'_ij = (1/2 - (h_i / h_j + h_j / h_i) / 4) E_ij + O(E^2)`,
//!
//! because A has moved and Z no longer commutes with it. They shrink only where `h_i / h_j + h_j / h_i < 6`, a condition of M below
//! `3 + 2 sqrt(2) = 5.83`; without the symmetry, `E'_ij = (1 - h_j / h_i) E_ij / 2`, below 3. The momentum of a layer has conditions of 1e2 and more: every step would
//! begin anew, and cost more than the steps that begin anew in any case.

const N: usize = 2;

type Square = [[f64; N]; N];

fn product(a: Square, b: Square) -> Square {
    let entry = |i: usize, j: usize| (0..N).map(|l| a[i][l] * b[l][j]).sum();
    core::array::from_fn(|i| core::array::from_fn(|j| entry(i, j)))
}

/// `Z + (Z R + R Z) / 4`
fn newton(z: Square, a: Square) -> Square {
    let zaz = product(product(z, a), z);
    let r: Square =
        core::array::from_fn(|i| core::array::from_fn(|j| f64::from(u8::from(i == j)) - zaz[i][j]));
    let (left, right) = (product(z, r), product(r, z));
    core::array::from_fn(|i| core::array::from_fn(|j| z[i][j] + (left[i][j] + right[i][j]) / 4.0))
}

/// `A = diag(condition^2, 1)` and its inverse root with the error e beside the diagonal.
fn start(condition: f64, e: f64) -> (Square, Square) {
    ([[condition * condition, 0.0], [0.0, 1.0]], [[1.0 / condition, e], [e, 1.0]])
}

#[test]
fn a_newton_step_multiplies_errors_by_what_the_formula_says() {
    for condition in [1.0, 2.0, 5.0, 5.8, 5.9, 10.0, 100.0] {
        // Squares of the error are 1e-9 to 1e-5 of it in each entry, over the least entry of Z.
        let e = 1e-9;
        let (a, z) = start(condition, e);
        let factor = 0.5 - (condition + 1.0 / condition) / 4.0;
        let found = newton(z, a)[0][1] / e;
        assert!((found - factor).abs() < 1e-4 * factor.abs().max(1.0), "{condition}: {found} {factor}");
    }
}

#[test]
fn a_kept_inverse_root_stays_up_to_a_condition_of_5_8_and_no_further() {
    for (condition, stays) in [(5.7, true), (5.95, false), (20.0, false)] {
        let (a, mut z) = start(condition, 1e-9);
        for _ in 0..100 {
            z = newton(z, a);
        }
        // 0.983^100 is 0.18, and 1.030^100 is 19.
        let error = z[0][1].abs();
        assert_eq!(error < 1e-9, stays, "{condition}: {error}");
    }
}
