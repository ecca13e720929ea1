//! The rules of other authors against the golden data of their own programs.

pub use crate::golden::peers::{
    golden_adamuon, golden_cautious, golden_dion, golden_dion2, golden_hyperball, golden_lion,
    golden_normuon, golden_polar_express, golden_polargrad, golden_qdwh, golden_scion, golden_shampoo,
    golden_soap,
};
