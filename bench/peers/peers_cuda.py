#!/usr/bin/env python3
"""Times PyTorch's optimizers, and the device's own ceilings, on this machine's GPU; prints a Markdown table.

    python bench/peers/peers_cuda.py
    cargo run --release -p spectra-cuda --example step

A time is the median of at least 20 runs by CUDA events, after a warm-up. f32 products are what they say: TF32 is on only where
a line says so.
"""

import statistics

import peers
import torch

SHAPES = [(4096, 4096), (4096, 14336)]


def milliseconds(f, runs=20):
    for _ in range(3):
        f()
    times = []
    for _ in range(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        f()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = on


def line(shape, what, ms, rate=""):
    print(f"| {shape} | {what} | {ms:.4f} | {rate} |", flush=True)


def ceilings():
    """The rates that bound everything else: memory, and matrix products of each kind."""
    source = torch.rand(1 << 30)
    target = torch.empty_like(source)
    ms = milliseconds(lambda: target.copy_(source))
    line("4 GiB", "copy on the device", ms, f"{2 * 4 * source.numel() / ms / 1e6:.0f} GB/s")
    del source, target
    n = 8192
    kinds = [("f32", torch.float32, False), ("TF32", torch.float32, True), ("bf16", torch.bfloat16, False), ("fp16", torch.float16, False)]
    for name, dtype, reduced in kinds:
        tf32(reduced)
        a, b = ((torch.rand(n, n) - 0.5).to(dtype) for _ in range(2))
        ms = milliseconds(lambda: a @ b)
        line(f"{n} x {n}", f"square product, {name}", ms, f"{2 * n**3 / ms / 1e9:.0f} TFLOP/s")
    tf32(False)


def optimizers(m, n):
    shape, k = f"{m} x {n}", max(1, round(0.015 * min(m, n)))
    line(shape, "AdamW, fused", milliseconds(peers.fused_adamw(m, n)))
    momentum, v = torch.rand(m, n) - 0.5, torch.linalg.qr(torch.randn(n, k))[0]
    for reduced, name in [(False, "f32"), (True, "TF32")]:
        tf32(reduced)
        line(shape, f"power iteration, QR, T = 1, {name}", milliseconds(lambda: peers.power_iteration(momentum, v)))
        line(shape, f"Spectra step as the paper writes it, {name}", milliseconds(peers.spectra_as_written(m, n, k)))
        line(shape, f"Muon's Newton-Schulz, {name}", milliseconds(lambda: peers.newton_schulz(momentum)))
    tf32(False)
    for dtype, name in [(torch.bfloat16, "bf16"), (torch.float16, "fp16")]:
        half = momentum.to(dtype)
        line(shape, f"Muon's Newton-Schulz, {name}", milliseconds(lambda: peers.newton_schulz(half)))
    line(shape, "torch.optim.Muon step", milliseconds(peers.torch_muon(m, n)))


def main():
    torch.manual_seed(0)
    torch.set_default_device("cuda")
    tf32(False)
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}")
    print("| shape | PyTorch | ms | rate |\n|---|---|---:|---:|")
    ceilings()
    for m, n in SHAPES:
        optimizers(m, n)


if __name__ == "__main__":
    main()
