#!/usr/bin/env python3
"""Writes tests/fixtures/training/expected.json: PyTorch's losses, and ten steps of its optimizers.

Run with PyTorch 1.13 (Debian 12's python3-torch): ./make_fixtures.py
"""
import json
import pathlib

import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "training" / "expected.json"
STEPS = 10


def losses():
    torch.manual_seed(1)
    logits = 3 * torch.randn(6, 7)
    labels = torch.tensor([0, 3, 3, 6, 1, 4])
    weights = torch.tensor([0.5, 4.0, 1.0, 0.25, 1.5, 1.0, 0.75])
    soft = torch.softmax(2 * torch.randn(6, 7), dim=1)
    result = {"logits": logits.tolist(), "labels": labels.tolist(), "weights": weights.tolist(), "soft": soft.tolist(),
              "smoothing": 0.1}

    def add(name, loss):
        x = logits.clone().requires_grad_()
        value = loss(x)
        value.backward()
        result[name] = {"loss": value.item(), "gradient": x.grad.tolist()}

    add("hard", lambda x: F.cross_entropy(x, labels))
    add("hard_weighted", lambda x: F.cross_entropy(x, labels, weight=weights))
    add("soft_targets", lambda x: F.cross_entropy(x, soft))
    add("smoothed", lambda x: F.cross_entropy(x, labels, label_smoothing=0.1))
    return result


CASES = {
    "adam": dict(opt="adam"),
    "adam_decay": dict(opt="adam", weight_decay=0.1),
    "adam_betas_eps": dict(opt="adam", beta1=0.8, beta2=0.9, eps=1e-3),
    "adam_clip": dict(opt="adam", clip=0.05),
    "adamw": dict(opt="adamw", weight_decay=0.1),
    "adamw_clip": dict(opt="adamw", weight_decay=0.1, clip=0.05),
    "sgd": dict(opt="sgd"),
    "sgd_decay_clip": dict(opt="sgd", weight_decay=0.1, clip=0.05),
    "sgd_without_momentum": dict(opt="sgd", momentum=0.0),
    "rmsprop": dict(opt="rmsprop", lr=0.005),
    "rmsprop_decay_clip": dict(opt="rmsprop", lr=0.005, weight_decay=0.1, clip=0.05),
    "rmsprop_without_momentum": dict(opt="rmsprop", lr=0.005, momentum=0.0, beta2=0.99),
}


def optimizers():
    torch.manual_seed(2)
    x, y = torch.randn(16, 5), torch.tanh(torch.randn(16, 3))
    start = {"weight": torch.randn(3, 5), "bias": torch.randn(3)}
    result = {"x": x.tolist(), "y": y.tolist(), **{name: value.tolist() for name, value in start.items()}, "cases": {}}
    for name, given in CASES.items():
        case = dict(lr=0.05, momentum=0.9, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, clip=0.0)
        case.update(given)
        weight, bias = start["weight"].clone().requires_grad_(), start["bias"].clone().requires_grad_()
        # Decay leaves tensors of one dimension out.
        groups = [{"params": [weight], "weight_decay": case["weight_decay"]}, {"params": [bias], "weight_decay": 0.0}]
        if case["opt"] == "adam":
            optimizer = torch.optim.Adam(groups, betas=(case["beta1"], case["beta2"]), eps=case["eps"])
        elif case["opt"] == "adamw":
            optimizer = torch.optim.AdamW(groups, betas=(case["beta1"], case["beta2"]), eps=case["eps"])
        elif case["opt"] == "sgd":
            optimizer = torch.optim.SGD(groups, lr=1, momentum=case["momentum"], nesterov=case["momentum"] > 0)
        else:
            optimizer = torch.optim.RMSprop(groups, alpha=case["beta2"], eps=case["eps"], momentum=case["momentum"])
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = case["lr"] * (1 - 0.05 * step)
            optimizer.zero_grad()
            F.mse_loss(torch.tanh(F.linear(x, weight, bias)), y).backward()
            largest = case["clip"] if case["clip"] > 0 else float("inf")
            torch.nn.utils.clip_grad_norm_([weight, bias], largest)
            optimizer.step()
        result["cases"][name] = {**case, "after": {"weight": weight.tolist(), "bias": bias.tolist()}}
    return result


OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text(json.dumps({"torch": torch.__version__, "loss": losses(), "optimizer": optimizers()}) + "\n")
