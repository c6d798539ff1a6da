#!/usr/bin/env python3
"""Writes tests/fixtures/evaluation: predictions, and what scikit-learn and scipy make of them.

Run with scikit-learn 1.2 and scipy 1.10 (Debian 12's packages): ./make_fixtures.py
"""
import json
import math
import pathlib

import numpy as np
import scipy
import scipy.optimize
import scipy.stats
import sklearn
from sklearn import metrics as sk

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "evaluation"
NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def quoted(name):
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name


def write_predictions(path, labels, logits, probabilities, names):
    with open(path, "w") as out:
        out.write(",".join(["row", "label", "predicted", "correct"] + [quoted("p_" + n) for n in names]
                           + [quoted("logit_" + n) for n in names]) + "\n")
        for i, label in enumerate(labels):
            predicted = int(np.argmax(probabilities[i]))
            fields = [str(i), quoted(names[label]) if label >= 0 else "", quoted(names[predicted]),
                      str(int(label == predicted)) if label >= 0 else ""]
            fields += [repr(float(v)) for v in probabilities[i]] + [repr(float(v)) for v in logits[i]]
            out.write(",".join(fields) + "\n")


def expected_calibration_error(labels, probabilities, bins=15):
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return error


def temperature(labels, logits):
    def loss(log_t):
        p = softmax(logits / np.exp(log_t))
        return -np.log(p[np.arange(len(labels)), labels]).mean()
    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(math.log(0.01), math.log(100)), method="bounded",
                                                       options={"xatol": 1e-10}).x))


def expected(labels, logits, probabilities, names):
    known = labels >= 0
    labels, logits, probabilities = labels[known], logits[known], probabilities[known]
    k = len(names)
    predicted = probabilities.argmax(axis=1)
    macro = sk.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    by_class = sk.precision_recall_fscore_support(labels, predicted, labels=range(k), zero_division=0)
    auc = [sk.roc_auc_score(labels == c, probabilities[:, c]) if 0 < (labels == c).sum() < len(labels) else None
           for c in range(k)]
    defined = [a for a in auc if a is not None]
    if len(defined) == k:
        assert abs(np.mean(auc) - sk.roc_auc_score(labels, probabilities, multi_class="ovr")) < 1e-12
    kappa = sk.cohen_kappa_score(labels, predicted)
    return {
        "count": int(known.sum()),
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        # scikit-learn lets the higher of two tied classes go first; with the classes in reverse order, the lower.
        "top2_accuracy": sk.top_k_accuracy_score(k - 1 - labels, probabilities[:, ::-1], k=2, labels=range(k)),
        "macro_precision": macro[0], "macro_recall": macro[1], "macro_f1": macro[2],
        "weighted_f1": sk.f1_score(labels, predicted, average="weighted", zero_division=0),
        "kappa": None if math.isnan(kappa) else kappa,
        "matthews": sk.matthews_corrcoef(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities, labels=range(k)),
        "brier": float(((probabilities - np.eye(k)[labels]) ** 2).sum(axis=1).mean()),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "macro_auc": float(np.mean(defined)) if defined else None,
        "precision": list(by_class[0]), "recall": list(by_class[1]), "f1": list(by_class[2]),
        "support": [int(s) for s in by_class[3]], "auc": auc,
        "confusion": sk.confusion_matrix(labels, predicted, labels=range(k)).tolist(),
        "temperature": temperature(labels, logits),
    }


def cases():
    rng = np.random.default_rng(20130)
    n, k = 120, 7

    labels = rng.integers(0, k, n)
    logits = np.round(rng.normal(0, 1.5, (n, k)) + 2.0 * np.eye(k)[labels], 3)
    labels[rng.choice(n, 9, replace=False)] = -1
    yield "random", labels, logits, softmax(logits), NAMES

    # Probabilities in eighths: ties for the first and the second place, zeros, and confidences of exactly 1.
    eighths = rng.multinomial(8, [0.3, 0.05, 0.2, 0.3, 0.05, 0.05, 0.05], n)
    eighths[:6] = 0
    eighths[np.arange(6), [0, 1, 2, 3, 3, 4]] = 8
    probabilities = eighths / 8
    labels = np.array([rng.choice(k, p=0.9 * p + 0.1 / k) for p in probabilities])
    yield "ties", labels, np.log(np.maximum(probabilities, 1e-300)), probabilities, NAMES

    # disgust (1) is neither label nor prediction; fear (2) is predicted but never a label; sad (4) the other way round.
    labels = rng.choice([0, 3, 4, 5, 6], n)
    logits = np.round(rng.normal(0, 1.5, (n, k)) + 1.5 * np.eye(k)[labels], 3)
    logits[:, [1, 4]] -= 20
    yield "absent", labels, logits, softmax(logits), NAMES

    labels = np.arange(40) % k
    logits = np.round(rng.normal(0, 1, (40, k)) + 12 * np.eye(k)[labels], 3)
    yield "perfect", labels, logits, softmax(logits), NAMES

    labels = np.full(30, 3)
    logits = np.round(rng.normal(0, 1, (30, k)) + 12 * np.eye(k)[labels], 3)
    yield "one_class", labels, logits, softmax(logits), NAMES

    labels = rng.integers(0, 3, 60)
    logits = np.round(rng.normal(0, 1, (60, 3)), 3)
    yield "three_classes", labels, logits, softmax(logits), ["no, not", "yes", 'a "maybe"']


def statistics():
    wilson = []
    for successes, count, confidence in [(0, 10, 0.95), (10, 10, 0.95), (1, 1, 0.95), (2512, 3589, 0.95), (37, 81, 0.99),
                                         (5, 1000, 0.8), (1, 100000, 0.999)]:
        interval = scipy.stats.binomtest(successes, count).proportion_ci(confidence, method="wilson")
        wilson.append([successes, count, confidence, interval.low, interval.high])
    mcnemar = []
    for b, c in [(0, 1), (1, 1), (3, 9), (0, 24), (12, 12), (11, 13), (20, 5), (12, 13), (100, 140), (59, 121)]:
        if b + c < 25:
            p = scipy.stats.binomtest(b, b + c, 0.5).pvalue
        else:
            p = scipy.stats.chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1)
        mcnemar.append([b, c, float(p)])
    quantiles = [[p, scipy.stats.norm.ppf(p)] for p in (1e-200, 1e-9, 0.025, 0.3, 0.5, 0.6, 0.975, 0.995, 1 - 1e-9)]
    return {"wilson": wilson, "mcnemar": mcnemar, "normal_quantile": quantiles}


def ensemble():
    """Three members for 100 faces of three classes: a good one, a fair one, and one that knows nothing but is sure."""
    rng = np.random.default_rng(7)
    n, k = 100, 3
    labels = rng.integers(0, k, n)
    members = []
    for signal, noise in [(2.0, 1.0), (1.2, 1.0), (0.0, 2.5)]:
        members.append(np.round(rng.normal(0, noise, (n, k)) + signal * np.eye(k)[labels], 3))
    likelihood = np.stack([softmax(m)[np.arange(n), labels] for m in members], axis=1)

    def loss(weights):
        return -np.log(likelihood @ weights).mean()
    best = scipy.optimize.minimize(loss, np.full(3, 1 / 3), method="SLSQP", bounds=[(0, 1)] * 3, tol=1e-14,
                                   constraints={"type": "eq", "fun": lambda w: w.sum() - 1})
    assert best.success
    return labels, members, {"weights": best.x.tolist(), "log_loss": float(best.fun)}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    result = {"versions": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": np.__version__}}
    result["cases"] = {}
    for name, labels, logits, probabilities, names in cases():
        write_predictions(OUT / f"{name}.csv", labels, logits, probabilities, names)
        result["cases"][name] = expected(labels, logits, probabilities, names)
    labels, members, result["ensemble"] = ensemble()
    for m, logits in enumerate(members, 1):
        write_predictions(OUT / f"member{m}.csv", labels, logits, softmax(logits), ["left", "middle", "right"])
    result["statistics"] = statistics()
    (OUT / "expected.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
