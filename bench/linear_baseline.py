"""How far a linear classifier gets on drawn faces: usage `linear_baseline.py faces.csv`, the csv that `mien data draw` writes.

Logistic regression (scikit-learn) on pixels brought to mean 0 and deviation 1 per face, fitted on the Training rows and
judged on the PublicTest rows; prints the accuracy for three strengths of regularization.
"""
import sys, warnings
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
table = pd.read_csv(sys.argv[1])
x = np.stack([np.array(cell.split(), dtype=np.float32) for cell in table["pixels"]])
x = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-6)
y = table["emotion"].to_numpy()
fit = (table["Usage"] == "Training").to_numpy()
for c in (1e-4, 1e-3, 1e-2):
    model = LogisticRegression(C=c, max_iter=300).fit(x[fit], y[fit])
    print(f"C {c:g}: {100 * model.score(x[~fit], y[~fit]):.1f} % of {(~fit).sum()} faces", flush=True)
