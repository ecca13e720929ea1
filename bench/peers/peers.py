#!/usr/bin/env python3
"""Times PyTorch's optimizers on this machine beside ours, in one run, and prints the joint table as Markdown.

    cargo run --release --bin step_cost
    pip install -r bench/peers/requirements.txt
    python bench/peers/peers.py --ours out/step_cost/measured.csv --out out/step_cost/peers.md

A time is the least of several runs: other load can only add. Everything is in f32 unless it says bf16.
"""

import argparse
import csv
import math
import time

import torch

SHAPES = [(1024, 3072), (4096, 4096), (4096, 14336)]


def least(f, seconds=1.0, runs=3):
    """The least time of at least `runs` runs and `seconds` seconds; one run suffices if it takes 2 s."""
    best, start, count = math.inf, time.perf_counter(), 0
    while count < runs or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - before)
        count += 1
        if best > 2.0:
            break
    return best


def parameter(m, n):
    weights = torch.nn.Parameter(torch.rand(m, n) - 0.5)
    weights.grad = torch.rand(m, n) - 0.5
    return weights


def fused_adamw(m, n):
    optimizer = torch.optim.AdamW([parameter(m, n)], lr=1e-3, fused=True)
    return optimizer.step


def torch_muon(m, n):
    optimizer = torch.optim.Muon([parameter(m, n)], lr=1e-3)
    return optimizer.step


def newton_schulz(x, steps=5):
    """Muon's quintic iteration (Jordan et al. 2024), on the short side."""
    a, b, c = 3.4445, -4.7750, 2.0315
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if transposed else x


def power_iteration(momentum, v):
    """One step of 2602.11185, Algorithm 2, by a library QR."""
    u, _ = torch.linalg.qr(momentum @ v)
    w = momentum.T @ u
    s = w.norm(dim=0)
    return u, s, w / s


def spectra_as_written(m, n, k):
    """2602.11185, Algorithm 1 line by line: every m x n temporary that the text has."""
    weights, momentum, gradient = (torch.rand(m, n) - 0.5 for _ in range(3))
    v = torch.linalg.qr(torch.randn(n, k))[0]
    state = [weights, momentum, v]

    def step():
        weights, momentum, v = state
        momentum = 0.95 * momentum + gradient
        u, s, v = power_iteration(momentum, v)
        tail = momentum - u @ torch.diag(s) @ v.T
        sigma = tail.norm() / math.sqrt(min(m, n) - k)
        update = tail + sigma * (u @ v.T)
        rate = 0.2 * 1e-3 / (update.norm() / math.sqrt(m * n) + 1e-8)
        state[:] = [weights - rate * update, momentum, v]

    return step


def soft_clip(x, c, steps=10):
    """2603.14315, Algorithm 1: coupled cubic Newton-Schulz on I + X X^T / c^2, ten steps."""
    gram = x @ x.T
    alpha = 1 + torch.minimum(gram.abs().sum(1).max(), gram.norm()) / c**2
    identity = torch.eye(x.shape[0])
    y, z = (identity + gram / c**2) / alpha, identity.clone()
    for _ in range(steps):
        t = (3 * identity - z @ y) / 2
        y, z = y @ t, t @ z
    return z @ x / alpha.sqrt()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--ours", help="measured.csv of step_cost")
    arguments.add_argument("--out", help="file for the table")
    arguments.add_argument("--quick", action="store_true", help="without the products that take seconds")
    arguments = arguments.parse_args()
    ours = {}
    if arguments.ours:
        with open(arguments.ours) as file:
            for row in csv.DictReader(file):
                ours[int(row["rows"]), int(row["cols"]), row["what"]] = float(row["milliseconds"])
    torch.manual_seed(0)
    lines = []

    def line(shape, what, milliseconds, our_name=None):
        ours_ms = ours.get((*shape, our_name))
        ratio = f"{ours_ms / milliseconds:.3f}" if ours_ms else ""
        shown = f"{ours_ms:.2f}" if ours_ms else ""
        text = f"| {shape[0]} x {shape[1]} | {what} | {milliseconds:.2f} | {our_name or ''} | {shown} | {ratio} |"
        print(text, flush=True)
        lines.append(text)

    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    for head in ("| shape | PyTorch | ms | ours | ms | ours / PyTorch |", "|---|---|---:|---|---:|---:|"):
        print(head)
        lines.append(head)
    for m, n in SHAPES:
        k = max(1, round(0.015 * min(m, n)))
        adamw = least(fused_adamw(m, n)) * 1e3
        line((m, n), "AdamW, fused", adamw, "AdamW's pass")
        line((m, n), "AdamW, fused", adamw, "whole Spectra step")
        momentum, v = torch.rand(m, n) - 0.5, torch.linalg.qr(torch.randn(n, k))[0]
        line((m, n), "power iteration, QR, T = 1", least(lambda: power_iteration(momentum, v)) * 1e3,
             "sweep with momentum")
        line((m, n), "Spectra step as the paper writes it", least(spectra_as_written(m, n, k)) * 1e3,
             "whole Spectra step")
        if arguments.quick and m * n > 1024 * 3072:
            continue
        for name, dtype in (("bf16", torch.bfloat16), ("f32", torch.float32)):
            x = momentum.to(dtype)
            line((m, n), f"Muon's Newton-Schulz, {name}", least(lambda: newton_schulz(x)) * 1e3,
                 "whole Spectra step")
        line((m, n), "torch.optim.Muon step", least(torch_muon(m, n)) * 1e3, "whole Spectra step")
        if m * n <= 4096 * 4096:
            c = float(torch.linalg.matrix_norm(momentum, 2)) / 10
            line((m, n), "soft clip, ten steps, f32", least(lambda: soft_clip(momentum, c)) * 1e3,
                 "soft clip to 1e-5; sigma_1 / c = 10")
    if arguments.out:
        with open(arguments.out, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
