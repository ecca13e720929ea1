#!/usr/bin/env python3
"""Compiles every kernel with NVIDIA's own compiler, no GPU and no driver needed.

usage: compile_kernels.py PATH_TO_LIBNVRTC

For float and double, for sm_80, sm_90 and sm_100: PTX and machine code. Any message is an error, and so is a kernel
that the host does not look up, or one that it misses.
"""
import ctypes
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = ["80", "90", "100"]
OPTIONS = []  # as the host: none


def names_in(path, pattern):
    return re.findall(pattern, (FOLDER / path).read_text())


def source(real):
    """As src/checked/source.rs joins it: the same files in the same order."""
    files = names_in("src/checked/source.rs", r'include_str!\("\.\./\.\./kernels/([^"]+)"\)')
    assert set(files) == {p.name for p in (FOLDER / "kernels").iterdir()}, "a kernel file that nobody includes"
    texts = [(FOLDER / "kernels" / name).read_text() for name in files]
    return f"#define REAL {real}\n" + "\n".join(texts)


class Nvrtc:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.nvrtcGetErrorString.restype = ctypes.c_char_p

    def check(self, status, log=""):
        if status != 0:
            raise SystemExit(f"{self.lib.nvrtcGetErrorString(status).decode()}\n{log}")

    def text(self, program, size_of, get):
        size = ctypes.c_size_t()
        self.check(getattr(self.lib, size_of)(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.lib, get)(program, buffer))
        return buffer.raw

    def compile(self, text, architecture):
        program = ctypes.c_void_p()
        self.check(self.lib.nvrtcCreateProgram(
            ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None))
        options = [f"--gpu-architecture={architecture}", *OPTIONS]
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        status = self.lib.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").rstrip(b"\0\n").decode()
        self.check(status, log)
        if log:
            raise SystemExit(f"{architecture}: {log}")
        if architecture.startswith("sm_"):
            return self.text(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        return self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX")


def main():
    nvrtc = Nvrtc(sys.argv[1])
    expected = set(names_in("src/checked/source.rs", r"(?m)^    ([a-z_]+),$"))
    for real in ["float", "double"]:
        text = source(real)
        for number in ARCHITECTURES:
            ptx = nvrtc.compile(text, f"compute_{number}").decode()
            found = set(re.findall(r"\.visible \.entry (\w+)\(", ptx))
            if found != expected:
                raise SystemExit(f"kernels {sorted(found)}, the host looks up {sorted(expected)}")
            size = len(nvrtc.compile(text, f"sm_{number}"))
            print(f"{real}, sm_{number}: {len(found)} kernels, {len(ptx)} bytes of PTX, {size} of machine code")


main()
