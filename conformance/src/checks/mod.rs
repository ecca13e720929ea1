//! The checks, a module for each group.
//!
//! Every check is a function of a [`Subject`](crate::suite::Subject) that answers with the error it measured or the
//! reason for its refusal. The comment of each names the defects it exists to find.

pub(crate) mod bench;
pub mod calls;
pub mod compositions;
pub mod directions;
pub mod elementwise;
pub mod frank_wolfe;
pub mod fused;
pub mod golden;
pub mod golden_peers;
pub mod gradient_range;
pub mod handles;
pub mod hard_clip;
pub mod inverse_sqrt;
pub mod optimizer;
pub mod orthonormalize;
pub mod peers;
pub mod polar;
pub mod power_iteration;
pub mod presets;
pub mod products;
pub mod reductions;
pub mod rounding;
pub mod scalars;
pub mod shapes;
pub mod small_factors;
pub mod soft_clip;
pub mod storage;
pub mod tail_shrink;
pub mod tail_shrink_rests;
pub mod threads;
pub mod threshold;
