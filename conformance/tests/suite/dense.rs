//! The portable backend passes the suite.

use spectra_core::dense::Dense;

spectra_conformance::suite!(dense, || Dense::new(), elements = [f32, f64], second_handle = Clone::clone,);
