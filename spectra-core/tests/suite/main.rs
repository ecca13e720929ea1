//! One program: each test program compiles every algorithm that it uses anew.

mod architectures;
#[cfg(feature = "threads")]
mod communicator;
#[cfg(all(feature = "threads", feature = "serde"))]
mod distributed;
mod emulated;
mod frank_wolfe;
mod frank_wolfe_minima;
mod gradient_range;
#[cfg(feature = "serde")]
mod method_form;
#[cfg(all(feature = "faer", feature = "serde"))]
mod momentum_format;
#[cfg(feature = "serde")]
mod opened;
#[cfg(feature = "serde")]
mod optimizer;
#[cfg(feature = "faer")]
mod par_step;
mod placement;
mod polar;
mod resting_subspace;
#[cfg(feature = "faer")]
mod send_sync;
mod settings;
mod shrink_variants;
mod spectral_maps;
mod traffic;
mod warm_inverse_root;
