#!/usr/bin/env bash
# The tensor operations of GPUs on a software driver (Debian: libegl1 libegl-mesa0 libgl1-mesa-dri), on a few small shapes.
# No part of .ci/run: it builds for minutes and takes 9 GB, in a target folder of its own. It says nothing of a GPU's speed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test -p spectra-burn --features wgpu --target-dir target-wgpu --test optimizer on_device -- --test-threads 1
