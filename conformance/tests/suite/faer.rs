//! The faer backend passes the suite.

use spectra_core::faer::Faer;

spectra_conformance::suite!(faer, || Faer::new(), elements = [f32, f64], second_handle = Clone::clone,);
