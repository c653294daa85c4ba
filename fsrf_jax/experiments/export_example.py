"""Predict random data by the program in this folder: python example.py [SAMPLES] [FRAMES].

It needs jax, numpy and flatbuffers, and no fsrf_jax.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from jax import export

samples, frames = [int(number) for number in sys.argv[1:3]] + [4, 20][len(sys.argv[1:3]) :]
stored = Path(__file__).with_name("model.stablehlo").read_bytes()
try:
    model = export.deserialize(bytearray(stored))
    (features, lengths), _ = jax.tree.unflatten(model.in_tree, model.in_avals)
    random = np.random.default_rng(0)
    x = {m: random.uniform(1, 9, (samples, frames, *a.shape[2:])) for m, a in features.items()}
    x = {m: array.astype(features[m].dtype) for m, array in x.items()}
    n = {m: np.full(samples, frames, np.int32) for m in lengths}  # 0: without this modality
    print(model.call(x, n))
except Exception as error:
    raise SystemExit(
        f"{error}\nJAX {jax.__version__} reads files of the last six months: if model.stablehlo is "
        "older, make it anew by fsrf_jax: bin/export THIS_FOLDER --output NEW_FOLDER."
    ) from None
