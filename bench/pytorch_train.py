"""Times training steps of a network in PyTorch. Reads a JSON job on standard input, writes faces per second.

The job: {"layers": [...], "batch": 128, "threads": 2, "seconds": 4}; a layer is what Mien's graph says of it.
"""
import json, sys, time
import torch
from torch import nn
import torch.nn.functional as F


class Graph(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        for l in layers:
            kind = l["kind"]
            if kind == "conv":
                t, le, b, r = l["padding"]
                pad = (t, le) if (t, le) == (b, r) else 0
                m = nn.Conv2d(l["in"], l["out"], l["kernel"], l["stride"], pad, groups=l["groups"], bias=l["bias"])
            elif kind == "dense":
                m = nn.Linear(l["in"], l["out"], bias=l["bias"])
            elif kind == "batch_norm":
                m = (nn.BatchNorm1d if l["flat"] else nn.BatchNorm2d)(l["out"])
            else:
                continue
            setattr(self, l["name"], m)

    def forward(self, x):
        out = []
        for l in self.layers:
            kind = l["kind"]
            a = out[l["inputs"][0]] if l["inputs"] else x
            if kind in ("conv", "max_pool", "avg_pool"):
                t, le, b, r = l["padding"]
                if (t, le) != (b, r):
                    a = F.pad(a, (le, r, t, b), value=float("-inf") if kind == "max_pool" else 0)
                    pad = 0
                else:
                    pad = (t, le)
            if kind in ("conv", "dense", "batch_norm"):
                y = getattr(self, l["name"])(a)
            elif kind == "relu":
                y = F.relu(a)
            elif kind == "leaky_relu":
                y = F.leaky_relu(a, l["slope"])
            elif kind == "silu":
                y = F.silu(a)
            elif kind == "sigmoid":
                y = torch.sigmoid(a)
            elif kind == "max_pool":
                y = F.max_pool2d(a, l["kernel"], l["stride"], pad)
            elif kind == "avg_pool":
                y = F.avg_pool2d(a, l["kernel"], l["stride"], pad)
            elif kind == "global_avg_pool":
                y = a.mean((2, 3), keepdim=True)
            elif kind == "flatten":
                y = torch.flatten(a, 1)
            elif kind == "dropout":
                y = F.dropout(a, l["probability"], self.training)
            elif kind == "add":
                y = a + out[l["inputs"][1]]
            elif kind == "multiply":
                y = a * out[l["inputs"][1]]
            else:
                y = a
            out.append(y)
        return out[-1]


def main():
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    net = Graph(job["layers"]).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    n = job["batch"]
    images = torch.rand(n, *job["input"]).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, job["classes"], (n,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    step()
    step()
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < job["seconds"] or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({"faces_per_second": n / times[len(times) // 2], "version": torch.__version__}))


main()
