"""Measures a network in PyTorch. Reads a JSON job on standard input, writes JSON with "value" and "version".

The job: {"mode": "train", "layers": [...], "batch": 128, "threads": 2, "seconds": 4, "warm_up": 2, "least": 3}; a layer is
what Mien's graph says of it; "least" is the smallest number of training steps after "warm_up" ones that do not count. mode train: faces/s of training steps; eval: seconds for "faces" faces from bytes to scores; latency: median and
95th percentile of the milliseconds for one face.
"""
import contextlib, json, sys, time
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


def timed(step, seconds, least):
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times) < least:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return sorted(times)


def precision(job):
    return torch.autocast("cpu", torch.bfloat16) if job["bf16"] else contextlib.nullcontext()


def train(net, job):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    n = job["batch"]
    images = torch.rand(n, *job["input"]).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, job["classes"], (n,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        with precision(job):
            logits = net(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(job["warm_up"]):
        step()
    times = timed(step, job["seconds"], job["least"])
    return {"value": n / times[len(times) // 2]}


def predict(net, images, batch):
    """Scores of uint8 images, in batches."""
    out = []
    for begin in range(0, len(images), batch):
        x = images[begin : begin + batch].float().div_(255).contiguous(memory_format=torch.channels_last)
        out.append(net(x))
    return torch.cat(out)


def main():
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    net = Graph(job["layers"]).to(memory_format=torch.channels_last)
    net.train(job["mode"] == "train")
    if job["compile"]:
        net = torch.compile(net)
    if job["mode"] == "train":
        answer = train(net, job)
    else:
        with torch.no_grad(), precision(job):
            if job["mode"] == "eval":
                images = torch.randint(0, 256, (job["faces"], *job["input"]), dtype=torch.uint8)
                predict(net, images[: job["batch"]], job["batch"])
                start = time.perf_counter()
                predict(net, images, job["batch"])
                answer = {"value": time.perf_counter() - start}
            else:
                image = torch.randint(0, 256, (1, *job["input"]), dtype=torch.uint8)
                for _ in range(5):
                    predict(net, image, 1)
                times = timed(lambda: predict(net, image, 1), job["seconds"], 20)
                answer = {"value": 1e3 * times[len(times) // 2], "high": 1e3 * times[len(times) * 95 // 100]}
    print(json.dumps({**answer, "version": torch.__version__}))


main()
