"""Runs every FOLDER/NAME/model.py on the gray levels beside it, and writes its logits and its state dict."""
import importlib.util
import json
import pathlib
import struct
import sys

import torch


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        values = tensor.contiguous().numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


torch.set_num_threads(1)
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    spec = importlib.util.spec_from_file_location("model_" + folder.name, folder / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    network = model.load()
    shape = json.loads((folder / "shape.json").read_text())
    levels = torch.frombuffer(bytearray((folder / "levels").read_bytes()), dtype=torch.uint8).reshape(-1, *shape)
    with torch.no_grad():
        (folder / "logits").write_bytes(network(levels).numpy().tobytes())
        script = torch.jit.load(str(folder / "model.pt"))
        (folder / "script-logits").write_bytes(script(levels).numpy().tobytes())
    write_safetensors(folder / "back.safetensors", network.state_dict())
