#!/usr/bin/env python3
"""Fails where a crate has other features in the default members, or in burn's and CUDA's crates alone, than in the whole workspace: with what
uses it, it would be compiled once for each. examples/common/Cargo.toml, which all of these need, is where to ask for the missing ones."""

import subprocess
import sys

PROGRAM, TESTS = "normal,build", "normal,build,dev"
SELECTIONS = {
    "the default members' programs": ([], PROGRAM),
    "the default members' tests": ([], TESTS),
    "the tests of burn and CUDA": (["-p=spectra-burn", "-p=spectra-cuda", "-p=spectra-cuda-simulator"], TESTS),
}
# Nothing that is in more than one selection and takes long to compile uses these.
HARMLESS = {"derive_more", "derive_more-impl"}


def features(selection, edges):
    """By package and version."""
    command = ["cargo", "tree", "--locked", "--prefix=none", f"--edges={edges}", "--format={p}|{f}", *selection]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for line in lines:
        package, _, of_package = line.removesuffix(" (*)").partition("|")
        found.setdefault(" ".join(package.split()[:2]), set()).add(of_package)
    return found


whole = features(["--workspace"], TESTS)
differ = False
for name, (selection, edges) in SELECTIONS.items():
    for package, of_package in sorted(features(selection, edges).items()):
        if of_package != whole[package] and package.split()[0] not in HARMLESS:
            differ = True
            print(f"{package}: {sorted(of_package)} in {name}, {sorted(whole[package])} in the whole workspace")
sys.exit(differ)
