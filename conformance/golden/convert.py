#!/usr/bin/env python3
"""Turn the JSON originals of the golden data into compact safetensors files.

    python3 convert.py ORIGINALS [DESTINATION]

ORIGINALS is a folder of `<case>.json` files; DESTINATION (default: the folder of this
script) receives one `<case>.safetensors` for each. Only the standard library is used.

An original is an object `name, source, about, dtype, hyper, inputs, outputs`. `inputs` and
`outputs` map a name to `{"shape": [...], "data": [row-major numbers], "dtype": ...}` with
dtype f64 (the default), f32 or i64. The result has

* one tensor `inputs.X` or `outputs.Y` for each array, F64, F32 or I64, row-major;
* metadata `name`, `source`, `about`, `dtype`, and `hyper` (its JSON text).

After writing, the script reads each file back by an independent path and requires that every
number has the bits that its decimal text in the original stands for, that no array was left out,
and that no file in DESTINATION lacks an original. It exits with status 1 otherwise.
"""

import json
import math
import struct
import sys
from pathlib import Path

# safetensors dtype name, struct code, bytes per number, conversion from decimal text
DTYPES = {
    "f64": ("F64", "d", 8, float),
    "i64": ("I64", "q", 8, int),
    "f32": ("F32", "f", 4, float),
}
GROUPS = ("inputs", "outputs")
TEXT_FIELDS = ("name", "source", "about", "dtype")


def arrays(original):
    """Yield (tensor name, dtype, shape, decimal texts) of every array of a case."""
    for group in GROUPS:
        for name, array in original[group].items():
            unknown = set(array) - {"shape", "data", "dtype"}
            if unknown:
                raise ValueError(f"{group}.{name}: unknown fields {sorted(unknown)}")
            shape = [int(extent) for extent in array["shape"]]
            if len(array["data"]) != math.prod(shape):
                raise ValueError(f"{group}.{name}: {len(array['data'])} numbers for shape {shape}")
            yield f"{group}.{name}", array.get("dtype", "f64"), shape, array["data"]


def encode(text):
    """The safetensors bytes of one original, given as JSON text."""
    # Numbers stay decimal text until struct packs them: no sign of zero is lost on the way.
    original = json.loads(text, parse_float=str, parse_int=str)
    unknown = set(original) - {*TEXT_FIELDS, *GROUPS, "hyper"}
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    metadata = {field: original[field] for field in TEXT_FIELDS}
    metadata["hyper"] = json.dumps(json.loads(text)["hyper"], sort_keys=True)

    # The format wants the tensors without holes; 8-byte numbers come first so that all are aligned.
    entries = sorted(arrays(original), key=lambda entry: (-DTYPES[entry[1]][2], entry[0]))
    header, data = {"__metadata__": metadata}, bytearray()
    for name, dtype, shape, texts in entries:
        st_name, code, _, parse = DTYPES[dtype]
        start = len(data)
        data += struct.pack(f"<{len(texts)}{code}", *map(parse, texts))
        header[name] = {"dtype": st_name, "shape": shape, "data_offsets": [start, len(data)]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + bytes(data)


def verify(path, text):
    """Read `path` back and compare every number's bits with its decimal text in `text`."""
    raw = path.read_bytes()
    (head_length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + head_length])
    metadata = header.pop("__metadata__")
    original = json.loads(text, parse_float=str, parse_int=str)
    if json.loads(metadata["hyper"]) != json.loads(text)["hyper"]:
        raise ValueError(f"{path.name}: hyper differs")
    for field in TEXT_FIELDS:
        if metadata[field] != original[field]:
            raise ValueError(f"{path.name}: {field} differs")
    count = 0
    for name, dtype, shape, texts in arrays(original):
        st_name, code, width, parse = DTYPES[dtype]
        entry = header.pop(name)
        start, end = (8 + head_length + offset for offset in entry["data_offsets"])
        if entry["dtype"] != st_name or entry["shape"] != shape or end - start != width * len(texts):
            raise ValueError(f"{path.name}: {name} has another type or shape")
        for index, number in enumerate(texts):
            stored = raw[start + width * index : start + width * (index + 1)]
            if stored != struct.pack(f"<{code}", parse(number)):
                raise ValueError(f"{path.name}: {name}[{index}] is not {number}")
        count += len(texts)
    if header:
        raise ValueError(f"{path.name}: tensors without an original: {sorted(header)}")
    return count


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    originals = sorted(Path(sys.argv[1]).glob("*.json"))
    destination = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent
    if not originals:
        sys.exit(f"no .json file in {sys.argv[1]}")
    numbers = size = 0
    for original in originals:
        text = original.read_text()
        path = destination / f"{original.stem}.safetensors"
        path.write_bytes(encode(text))
        numbers += verify(path, text)
        size += path.stat().st_size
    stray = {path.stem for path in destination.glob("*.safetensors")} - {path.stem for path in originals}
    if stray:
        sys.exit(f"files without an original: {sorted(stray)}")
    print(f"{len(originals)} cases, {numbers} numbers, {size} bytes, all bits verified")


if __name__ == "__main__":
    main()
