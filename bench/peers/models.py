#!/usr/bin/env python3
"""Times PyTorch's optimizers on the matrices of a whole model beside ours, and prints the joint table as Markdown.

    cargo run --release --bin step_cost -- --model qwen3-0.6b
    pip install -r bench/peers/requirements.txt
    python bench/peers/models.py --ours out/step_cost/qwen3-0.6b

Reads the parts of the model that step_cost measured, and takes the same: whole, or a layer for all that are equal. A time is the least of three steps
after a first one; of one, where a step takes longer than two seconds. f32; torch.optim.Muon's products in bf16; Muon and the paper's step
leave what is no hidden matrix to the fused AdamW, as ours do.
"""

import argparse
import csv
import time

import torch

from peers import parameter, spectra_as_written


def adamw(parameters):
    return [torch.optim.AdamW(parameters, lr=1e-3, fused=True).step] if parameters else []


def plain(spectral, others):
    return adamw(spectral + others)


def muon(spectral, others):
    return [torch.optim.Muon(spectral, lr=1e-3).step] * bool(spectral) + adamw(others)


def as_written(spectral, others):
    steps = [spectra_as_written(m, n, max(1, round(0.015 * min(m, n)))) for m, n in (p.shape for p in spectral)]
    return steps + adamw(others)


PEERS = [
    ("AdamW, fused", plain, ["adamw", "spectra", "signum"]),
    ("Muon (torch.optim, bf16) and fused AdamW", muon, ["muon", "muon-gram", "dion"]),
    ("Spectra as the paper writes it and fused AdamW", as_written, ["spectra"]),
]


def seconds(part, peer):
    spectral, others = [], []
    for rows, cols, rule, count in part:
        kind = spectral if rule == "Spectral" else others
        kind.extend(parameter(rows, cols) for _ in range(count))
    if peer is as_written:  # its matrices are its own
        spectral = [torch.empty(p.shape, device="meta") for p in spectral]
    steps = peer(spectral, others)

    def run():
        start = time.perf_counter()
        for step in steps:
            step()
        return time.perf_counter() - start

    run()
    best = run()
    return best if best > 2 else min(best, run(), run())


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--ours", required=True, help="out/step_cost/MODEL, without the endings")
    arguments.add_argument("--without", default="", help="peers to leave out, by the first word of their names, with commas")
    arguments = arguments.parse_args()
    parts, times = {}, {}
    with open(arguments.ours + ".blocks.csv") as file:
        for row in csv.DictReader(file):
            block = (int(row["rows"]), int(row["cols"]), row["rule"], int(row["count"]))
            parts.setdefault(row["part"], []).append(block)
            times[row["part"]] = int(row["times"])
    with open(arguments.ours + ".csv") as file:
        ours = {row["preset"]: float(row["milliseconds"]) for row in csv.DictReader(file)}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| PyTorch | ms | ours | ms | ours / PyTorch |\n|---|---:|---|---:|---:|")
    for name, peer, presets in PEERS:
        if name.split()[0].strip(",") in arguments.without.split(","):
            continue
        ms = 1e3 * sum(times[part] * seconds(blocks, peer) for part, blocks in parts.items())
        for preset in presets:
            if preset in ours:
                print(f"| {name} | {ms:.1f} | `{preset}` | {ours[preset]:.1f} | {ours[preset] / ms:.3f} |", flush=True)


if __name__ == "__main__":
    main()
