#!/usr/bin/env python3
"""Times the peers' optimizers in PyTorch on this machine beside our presets, in one run, and prints the joint table as Markdown.

    cargo run --release --bin step_cost -- --presets [--only soap,shampoo]
    pip install -r bench/peers/requirements.txt
    python bench/peers/presets.py --ours out/step_cost/presets.csv

SOAP, Shampoo, Dion, NorMuon, AdaMuon, Lion, PolarGrad and Scion are **written here from the papers' formulas**, as plainly as their authors'
programs have them; the programs themselves were not timed. f32, their Newton-Schulz steps in bf16, without compilation. A time is the least of several steps; SOAP's and
Shampoo's is the mean of ten, of which one renews the bases.

The column "floor", of the presets that products and factorisations limit: the time that our arithmetic alone would take at the rate of
PyTorch's square product in f32 (the best of this machine), over PyTorch's time. A lower ratio takes fewer flops, not a faster program.
"""

import argparse
import csv
import math
import time

import torch

from peers import least, newton_schulz, fused_adamw, torch_muon

PERIOD = 10


def matrices(m, n, count):
    return [torch.rand(m, n) - 0.5 for _ in range(count)]


def polar(x):
    """In bf16, as their programs do."""
    return newton_schulz(x.bfloat16()).float()


def lion(m, n):
    w, g, momentum = matrices(m, n, 3)

    def step():
        update = momentum.mul(0.9).add_(g, alpha=0.1).sign_()
        w.add_(update, alpha=-1e-4)
        momentum.mul_(0.99).add_(g, alpha=0.01)

    return step


def normuon(m, n):
    """2510.05491: rows' second moment of the polar factor, the norm kept."""
    w, g, momentum = matrices(m, n, 3)
    v = torch.zeros(m, 1)

    def step():
        momentum.lerp_(g, 0.05)
        u = polar(g.lerp(momentum, 0.95))
        norm = u.norm()
        v.lerp_(u.square().mean(dim=1, keepdim=True), 0.05)
        u.div_(v.sqrt().add_(1e-10))
        u.mul_(norm / (u.norm() + 1e-10))
        w.add_(u, alpha=-0.02 * max(1, m / n) ** 0.5)

    return step


def adamuon(m, n):
    """2507.11005: sign first, elementwise second moment of the polar factor, RMS matched."""
    w, g, momentum = matrices(m, n, 3)
    v = torch.zeros(m, n)

    def step():
        momentum.lerp_(g, 0.05)
        u = polar(g.lerp(momentum, 0.95).sign_())
        v.mul_(0.95).addcmul_(u, u, value=0.05)
        u.div_(v.sqrt().add_(1e-8))
        w.add_(u * (-0.02 * 0.2 * math.sqrt(m * n) / (u.norm() + 1e-8)))

    return step


def polargrad(m, n):
    """2505.21799, the polar factor by torch.linalg.svd."""
    w, g, momentum = matrices(m, n, 3)

    def step():
        momentum.lerp_(g, 0.05)
        a, _, b = torch.linalg.svd(momentum, full_matrices=False)
        u = a @ b
        w.add_(u * (-0.02 * (momentum * u).sum()))

    return step


def scion(m, n):
    """2502.07529, constrained, hidden layer."""
    w, g, momentum = matrices(m, n, 3)

    def step():
        momentum.lerp_(g, 0.1)
        u = polar(momentum)
        w.mul_(1 - 1e-3).add_(u, alpha=-1e-3 * 50 * math.sqrt(m / n))

    return step


def dion(m, n):
    """2504.05295, dion_simple: a quarter of the short side, QR."""
    w, g, momentum = matrices(m, n, 3)
    rank = min(m, n) // 4
    wide = m < n
    if wide:
        w, g, momentum = w.T, g.T, momentum.T
    q = [torch.randn(w.shape[1], rank)]

    def step():
        momentum.add_(g)
        p, _ = torch.linalg.qr(momentum @ q[0])
        r = momentum.T @ p
        momentum.sub_(p @ r.T, alpha=0.05)
        q[0] = r / (r.norm(dim=0) + 1e-8)
        w.mul_(1 - 1e-4).sub_(p @ q[0].T, alpha=0.01 * math.sqrt(m / n))

    return step


def soap(m, n):
    """2409.11321: Adam in the eigenbasis, which a QR power step renews every tenth step."""
    w, g, momentum = matrices(m, n, 3)
    v = torch.zeros(m, n)
    left, right = g @ g.T, g.T @ g
    bases = [torch.linalg.eigh(left)[1].flip(1), torch.linalg.eigh(right)[1].flip(1)]
    count = [0]

    def step():
        count[0] += 1
        a, b = bases
        rotated = a.T @ g @ b
        momentum.lerp_(g, 0.05)
        v.mul_(0.95).addcmul_(rotated, rotated, value=0.05)
        d = (a.T @ momentum @ b).div_(v.sqrt().add_(1e-8))
        w.add_(a @ d @ b.T, alpha=-3e-3)
        left.lerp_(g @ g.T, 0.05)
        right.lerp_(g.T @ g, 0.05)
        if count[0] % PERIOD == 0:
            for i, gram in enumerate((left, right)):
                product = gram @ bases[i]
                order = (bases[i] * product).sum(dim=0).argsort(descending=True)
                v.copy_(v[order] if i == 0 else v[:, order])
                bases[i] = torch.linalg.qr(product[:, order])[0]

    return step


def shampoo(m, n):
    """1802.09568 with Adam's graft; roots of power -1/4 by eigh every tenth step."""
    w, g, momentum = matrices(m, n, 3)
    second, left, right = torch.zeros(m, n), torch.zeros(m, m), torch.zeros(n, n)
    roots, count = [None, None], [0]

    def step():
        left.lerp_(g @ g.T, 0.05)
        right.lerp_(g.T @ g, 0.05)
        if count[0] % PERIOD == 0:
            for i, gram in enumerate((left, right)):
                values, vectors = torch.linalg.eigh(gram)
                roots[i] = (vectors * values.clamp(min=0).add(1e-6).pow(-0.25)) @ vectors.T
        count[0] += 1
        momentum.lerp_(g, 0.1)
        second.mul_(0.999).addcmul_(g, g, value=0.001)
        graft = momentum / second.sqrt().add_(1e-8)
        d = roots[0] @ momentum @ roots[1]
        w.sub_(d * (1e-3 * graft.norm() / (d.norm() + 1e-16)))

    return step


def polargrad_flops(m, n):
    """Sixteen minimax steps: a Gram matrix and its square by halves, one product."""
    s, l = min(m, n), max(m, n)
    return 16 * (3 * s * s * l + s**3)


def dion_flops(m, n):
    """M Q, M^T P and two updates; the QR of a tall matrix by its Gram matrix."""
    r = min(m, n) // 4
    return 8 * m * n * r + 3 * max(m, n) * r * r


def soap_flops(m, n):
    """Two rotations, Gram matrices by halves; at a renewal A Q, its QR, the momentum turned back and again."""
    return 5 * m * n * (m + n) + (4 * m * n * (m + n) + 14 / 3 * (m**3 + n**3)) / PERIOD


def shampoo_flops(m, n):
    """Gram matrices by halves, two products; at a renewal the reduction, the tridiagonal matrix' eigenvectors (4/3 each), these turned
    back, half of V V^T."""
    return 3 * m * n * (m + n) + 17 / 3 * (m**3 + n**3) / PERIOD


PEERS = [
    ("AdamW, fused (PyTorch's)", fused_adamw, "adamw", None),
    ("Muon (torch.optim, bf16)", torch_muon, "muon", None),
    ("Lion", lion, "lion", None),
    ("NorMuon", normuon, "normuon", None),
    ("AdaMuon", adamuon, "adamuon", None),
    ("Scion", scion, "scion", None),
    ("PolarGrad, by SVD", polargrad, "polargrad", polargrad_flops),
    ("Dion, a quarter of the rank", dion, "dion", dion_flops),
    ("SOAP", soap, "soap", soap_flops),
    ("Shampoo, grafted", shampoo, "shampoo", shampoo_flops),
]


def mean_of_period(step):
    start = time.perf_counter()
    for _ in range(PERIOD):
        step()
    return (time.perf_counter() - start) / PERIOD


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--ours", required=True, help="presets.csv of step_cost")
    arguments.add_argument("--large", action="store_true", help="4096 x 4096, too")
    arguments.add_argument("--only", help="presets, separated by commas")
    arguments = arguments.parse_args()
    ours = {}
    with open(arguments.ours) as file:
        for row in csv.DictReader(file):
            ours[int(row["rows"]), int(row["cols"]), row["what"]] = float(row["milliseconds"])
    torch.manual_seed(0)
    side = 2048
    a = torch.rand(side, side)
    rate = 2 * side**3 / least(lambda: a @ a)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; square product {rate / 1e9:.0f} GFLOP/s\n")
    print("| shape | PyTorch | ms | ours | ms | ours / PyTorch | floor |\n|---|---|---:|---|---:|---:|---:|")
    wanted = arguments.only and arguments.only.split(",")
    for m, n in [(1024, 3072)] + [(4096, 4096)] * arguments.large:
        for name, peer, preset, flops in PEERS:
            our_ms = ours.get((m, n, f"preset {preset}"))
            if our_ms is None or wanted and preset not in wanted:
                continue  # left out by step_cost, or by an --only
            step = peer(m, n)
            step()
            ms = 1e3 * (mean_of_period(step) if preset in ("soap", "shampoo") else least(step))
            floor = f"{1e3 * flops(m, n) / rate / ms:.2f}" if flops else ""
            print(f"| {m} x {n} | {name} | {ms:.2f} | `{preset}` | {our_ms:.2f} | {our_ms / ms:.3f} | {floor} |", flush=True)


if __name__ == "__main__":
    main()
