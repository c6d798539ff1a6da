"""DeepLIFT as Captum 0.8 computes it, for the test of --deeplift-max-pool captum on a network that mixes both orders.

/usr/bin/python3 tests/explain/make_deep_lift_fixture.py REFERENCE_FOLDER    writes tests/fixtures/deep_lift_captum.safetensors

Captum's hooks, written anew: every nonlinear module gets one hook on the tensor that it reads and one on the tensor that
it makes. Where a max pool reads an activation both lie on one tensor, and the activation's, which was there first, sees
the gradient before the pool's rule has replaced it. First the script checks itself against Captum's own maps of relu6.
Needs python3-torch and python3-numpy.
"""
import sys
from pathlib import Path

import numpy
import torch
from make_fixtures import read, write
from torch import nn

EPS = 1e-10
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


def twice(half):
    return torch.cat([half, half])


def difference(values):
    image, baseline = values.chunk(2)
    return twice(image - baseline)


def activation_rule(module, signal_in, signal_out):
    slope = signal_out * difference(module.output) / difference(module.input)
    return torch.where(difference(module.input).abs() < EPS, signal_in, slope)


def max_pool_rule(module, signal_in, signal_out):
    output, output_ref = module.output.chunk(2)
    larger = torch.max(output, output_ref)
    _, places = nn.functional.max_pool2d(module.input, module.kernel_size, return_indices=True)
    shares = torch.cat([larger - output_ref, output - larger])
    ours, theirs = nn.functional.max_unpool2d(
        signal_out * shares, places, module.kernel_size, output_size=list(module.input.shape)).chunk(2)
    delta = difference(module.input)
    return torch.where(delta.abs() < EPS, signal_in, twice(ours + theirs) / delta)


def hook(module):
    rule = activation_rule if isinstance(module, ACTIVATIONS) else max_pool_rule
    seen = {}

    def before(_, inputs):
        module.input = inputs[0].detach().clone()
        inputs[0].register_hook(lambda signal: rule(module, signal, seen["out"]))
        return inputs[0].clone()

    def after(_, inputs, output):
        module.output = output.detach().clone()
        output.register_hook(lambda signal: seen.update(out=signal))

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def deep_lift(network, images, targets):
    network.eval()
    for module in network:
        if isinstance(module, ACTIVATIONS + (nn.MaxPool2d,)):
            hook(module)
    pair = torch.cat([images, torch.zeros_like(images)]).requires_grad_(True)
    logits = network(pair)
    score = logits.gather(1, torch.cat([targets, targets]).unsqueeze(1)).sum()
    gradient = torch.autograd.grad(score, pair)[0]
    return (gradient.chunk(2)[0] * images).detach()


def relu6(weights):
    def block(into, out):
        return [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.ReLU(),
                nn.MaxPool2d(2), nn.BatchNorm2d(out)]

    def dense(into, out):
        return [nn.Linear(into, out), nn.ReLU(), nn.BatchNorm1d(out), nn.Dropout()]

    network = nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 128), nn.Dropout(), nn.Flatten(),
                            *dense(4608, 256), *dense(256, 128), *dense(128, 64), nn.Linear(64, 7))
    slots = [entry for entry in network.state_dict() if not entry.endswith("num_batches_tracked")]
    order = {"Conv2d": "conv", "Linear": "dense", "BatchNorm2d": "batch_norm", "BatchNorm1d": "batch_norm"}
    counts = {}
    state = {}
    for index, module in enumerate(network):
        kind = order.get(type(module).__name__)
        if kind is None:
            continue
        counts[kind] = counts.get(kind, 0) + 1
        for slot in slots:
            if slot.startswith(f"{index}."):
                state[slot] = torch.from_numpy(weights[f"{kind}{counts[kind]}.{slot.split('.', 1)[1]}"].copy())
    network.load_state_dict(state, strict=False)
    return network


def check(folder):
    known = {name: values for name, _, values in read(folder / "relu6" / "explanations.safetensors")}
    weights = {name: values for name, _, values in read(folder / "relu6" / "weights.safetensors")}
    found = deep_lift(relu6(weights), torch.from_numpy(known["input"].copy()), torch.from_numpy(known["target"].copy()))
    expected = torch.from_numpy(known["captum.deep_lift_rescale"].copy())
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    print(f"relu6: differs from Captum's own maps by {error:.1e} of the largest value")
    assert error < 1e-5, "these are not Captum's rules"


def main():
    check(Path(sys.argv[1]))
    torch.manual_seed(7)
    network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.MaxPool2d(2),
                            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 3))
    norm = network[1]
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.5, 1.5)
    norm.weight.data.uniform_(0.5, 1.5)
    norm.bias.data.normal_(0, 0.3)
    images, targets = torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 2, 0])
    names = {"0": "conv1", "1": "batch_norm1", "3": "conv2", "7": "dense1"}
    kept = [("input", "F32", images.numpy()), ("target", "I64", targets.numpy()),
            ("captum.deep_lift_rescale", "F32", deep_lift(network, images, targets).numpy())]
    for slot, values in network.state_dict().items():
        layer, rest = slot.split(".", 1)
        if rest != "num_batches_tracked":
            kept.append((f"{names[layer]}.{rest}", "F32", values.numpy().astype(numpy.float32)))
    write(Path(__file__).resolve().parent.parent / "fixtures" / "deep_lift_captum.safetensors", kept)


if __name__ == "__main__":
    main()
