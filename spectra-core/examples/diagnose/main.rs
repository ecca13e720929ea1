//! What `Optimizer::diagnose` prints of a healthy little model, and of one that is sick on purpose: the output in docs/troubleshooting.md.
//!
//! Run with `cargo run --release -p spectra-core --example diagnose`.

mod model;

fn main() -> spectra_core::backend::Result<()> {
    let [healthy, sick] = model::report()?;
    println!("A healthy model\n\n{healthy}\n\nA sick one\n\n{sick}");
    Ok(())
}
