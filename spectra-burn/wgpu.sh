#!/usr/bin/env bash
# The conformance program over burn's WebGPU, in f32, on a software driver (Debian: libegl1 libegl-mesa0 libgl1-mesa-dri). Prints one line for each group of
# checks, names those that fail, and fails if one does.
# What it printed is in wgpu.txt, and why four checks fail in README.md. Arguments go to the program: `bash spectra-burn/wgpu.sh --only polar`. No part of .ci/run: on two cores it builds for a
# quarter of an hour, in a target folder of its own ($SPECTRA_WGPU_TARGET, else target-wgpu), and runs for as long. It says nothing of a GPU's speed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${SPECTRA_WGPU_TARGET:-target-wgpu}
# The time goes to the driver's compiler of shaders, not to this code.
export CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off
cargo build --release -p spectra-conformance --features wgpu --bin spectra-conformance --target-dir "$target"
exec "$target/release/spectra-conformance" --backend burn-wgpu --by-group "$@"
