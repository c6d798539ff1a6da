"""Random convolutions of Debian's python3-torch in float32 beside float64: how many are wrong, with oneDNN and without.

    python3 bench/library_convolutions.py [--seeds 3] [--seconds 20] [--no-onednn]

Every seed runs in a process of its own, because some versions crash. Mien's own check is src/mien/network/library_check.cpp.
"""
import argparse
import random
import subprocess
import sys
import time

LARGEST_ERROR = 1e-4  # as a share of the largest value; rounding leaves 1e-6


def one_case(torch):
    """The largest error of output and gradients, and a text that names the case; nothing if it is too large."""
    channels_last = random.random() < 0.6
    kernel = random.choice([1, 1, 2, 3, 3, 5])
    stride = random.choice([1, 1, 2, 3])
    padding = random.randrange(kernel)
    channels = random.choice([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256])
    out_channels = random.choice([1, 2, 3, 5, 7, 8, 16, 24, 32, 64, 96, 128, 256, 512])
    groups = channels if random.random() < 0.2 else 1
    out_channels = channels if groups > 1 else out_channels
    side = random.choice([3, 5, 6, 7, 8, 10, 12, 13, 16, 20, 24, 33, 48])
    images = random.choice([1, 2, 3, 7, 16])
    if side + 2 * padding < kernel or images * channels * side * side * out_channels * kernel * kernel > 4e8:
        return None
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def passed(x, weight):
        x, weight = x.requires_grad_(), weight.requires_grad_()
        y = torch.nn.functional.conv2d(x, weight, None, stride, padding, 1, groups)
        return (y, *torch.autograd.grad(y, (x, weight), torch.ones_like(y) + y.detach()))

    x = torch.randn(images, channels, side, side).contiguous(memory_format=layout)
    weight = (torch.randn(out_channels, channels // groups, kernel, kernel) * 0.1).contiguous(memory_format=layout)
    truth = passed(x.double(), weight.double())
    found = passed(x, weight)
    error = max(((a.double() - b).abs().max() / (b.abs().max() + 1e-9)).item() for a, b in zip(found, truth))
    text = (f"{images}x{channels}x{side}x{side} to {out_channels}, kernel {kernel}, stride {stride}, padding {padding}, "
            f"groups {groups}, {'channels-last' if channels_last else 'row-major'}")
    return (1.0 if error != error else error), text


def run_seed(seed, seconds, onednn):
    import torch
    torch._C._set_mkldnn_enabled(onednn)
    random.seed(seed)
    torch.manual_seed(seed)
    tried = wrong = 0
    end = time.time() + seconds
    while time.time() < end:
        case = one_case(torch)
        if case is None:
            continue
        tried += 1
        if case[0] > LARGEST_ERROR:
            wrong += 1
            print(f"wrong by {case[0]:.1e}: {case[1]} (try {tried})", flush=True)
    print(f"torch {torch.__version__}, seed {seed}: {wrong} of {tried} wrong", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--no-onednn", action="store_true")
    options.add_argument("--seed", type=int)
    given = options.parse_args()
    if given.seed is not None:
        return run_seed(given.seed, given.seconds, not given.no_onednn)
    for seed in range(given.seeds):
        ended = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--seed", str(seed)])
        if ended.returncode != 0:
            print(f"seed {seed}: ended with status {ended.returncode}", flush=True)


main()
