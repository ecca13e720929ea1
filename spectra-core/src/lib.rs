#![cfg_attr(not(feature="faer"), no_std)]
//! Work in progress.
