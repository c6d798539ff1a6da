"""Cuts the reference explanations (Captum, pytorch-grad-cam, lime, scikit-image) down to what the tests keep here.

python3 tests/explain/make_fixtures.py REFERENCE_FOLDER   writes tests/fixtures/{leaky4,relu6}/explanations.safetensors: all
maps of the first three faces, and relu6's weights. Needs python3-numpy.
"""
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy

FACES = 3
KINDS = {"F32": numpy.float32, "I64": numpy.int64, "I32": numpy.int32, "U8": numpy.uint8, "F64": numpy.float64, "I16": numpy.int16, "BOOL": numpy.bool_}


def read(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        yield name, entry["dtype"], numpy.frombuffer(raw[8 + size + begin : 8 + size + end], KINDS[entry["dtype"]]).reshape(entry["shape"])


def write(path, tensors):
    header, body = {}, b""
    for name, kind, values in tensors:
        data = numpy.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def main():
    reference = Path(sys.argv[1])
    fixtures = Path(__file__).resolve().parent.parent / "fixtures"
    for network in ("leaky4", "relu6"):
        kept = []
        for name, kind, values in read(reference / network / "explanations.safetensors"):
            if name.startswith("activation."):
                continue
            face = name.split(".")[-1]
            if name.startswith("lime.") and any(part.isdigit() and int(part) >= FACES for part in name.split(".")):
                continue
            if values.ndim > 0 and values.shape[0] == 8 and not name.startswith(("lime.", "skimage.", "grid")):
                values = values[:FACES]
            kept.append((name, kind, values))
        (fixtures / network).mkdir(exist_ok=True)
        write(fixtures / network / "explanations.safetensors", kept)
    shutil.copyfile(reference / "relu6" / "weights.safetensors", fixtures / "relu6" / "weights.safetensors")


if __name__ == "__main__":
    main()
