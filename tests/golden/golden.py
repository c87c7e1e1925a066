"""golden.py - the file format of golden values, and what both makers of them share

A file is a list of cases:

    case NAME
    text KEY VALUE…                  (to the end of the line)
    tensor KEY DTYPE DIMS HEX        (DIMS: 2x3x4, or - for a scalar; HEX: the little-endian bytes)

file.c reads the same.
"""

import numpy as np


class Writer:
    def __init__(self):
        self.lines = []

    def case(self, name):
        self.lines.append(f"case {name}")

    def text(self, key, value):
        assert "\n" not in value
        self.lines.append(f"text {key} {value}")

    def tensor(self, key, array):
        a = np.asarray(array)
        a = a.reshape(a.shape)
        dims = "x".join(map(str, a.shape)) or "-"
        data = np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes().hex()
        self.lines.append(f"tensor {key} {a.dtype.name} {dims} {data}")

    def bytes(self):
        return ("\n".join(self.lines) + "\n").encode()


def read(text):
    """{case: {key: str or array}} in order."""
    cases = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "case":
            cases[rest] = current = {}
        elif word == "text":
            key, _, value = rest.partition(" ")
            current[key] = value
        elif word == "tensor":
            key, dtype, dims, *data = rest.split(" ")
            shape = [] if dims == "-" else [int(d) for d in dims.split("x")]
            raw = bytes.fromhex(data[0] if data else "")
            current[key] = np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)
        elif word:
            raise ValueError(f"what is '{word}'?")
    return cases


def differences(old, new, rtol=2e-5, atol=2e-6):
    """Sentences about what differs beyond the rounding between machines and thread counts."""
    found = []
    for name in old.keys() | new.keys():
        a, b = old.get(name), new.get(name)
        if a is None or b is None or a.keys() != b.keys():
            found.append(f"{name}: other values than before")
            continue
        for key in a:
            if key == "tolerance" or key.startswith("noise"):  # made of rounding errors, which differ
                continue
            if isinstance(a[key], str):
                same = a[key] == b[key]
            else:
                same = a[key].shape == b[key].shape and a[key].dtype == b[key].dtype and np.allclose(
                    a[key].astype(np.float64), b[key].astype(np.float64), rtol, atol, equal_nan=True)
            if not same:
                found.append(f"{name}: {key} differs")
    return found
