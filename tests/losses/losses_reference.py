"""The losses once more in NumPy float64, written from the formulas, and examples to run them on."""

import dataclasses
from itertools import count

import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.special import expit, log_softmax, logsumexp, softmax
from scipy.stats import bernoulli, entropy
from sklearn.metrics.pairwise import euclidean_distances

from fsrf_jax.losses.options import LossOptions
from fsrf_jax.types import Auxiliary, Batch, Codes, LossWeights, Outputs

MODALITIES = ("language", "audio", "vision")
FEATURES = {"language": 5, "audio": 3, "vision": 4}
FRAMES = {"language": 4, "audio": 6, "vision": 5}
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
KINDS = {"number": "l1", "class": "cross_entropy", "binary": "binary_cross_entropy"}
OUTPUTS = {"number": 1, "class": 3, "binary": 2}
# For jit: such small programs take longer to compile than to run.
QUICK = {"xla_backend_optimization_level": 0}


def codes_and_weights(seed, b=9, d=4):
    rng = np.random.default_rng(seed)
    x_bd = rng.normal(size=(b, d)).astype(np.float32)
    y_bd = (0.5 * x_bd + rng.normal(size=(b, d)) + 0.3).astype(np.float32)
    weights_b = rng.uniform(0.2, 2, size=b).astype(np.float32)
    weights_b[1:2] = 0
    return x_bd, y_bd, weights_b


def mean(values_b, weights_b):
    return np.average(values_b, weights=weights_b) if np.sum(weights_b) > 0 else 0.0


def mse(x, y, w):
    return mean(((x - y) ** 2).mean(1), w)


def cosine(x, y, w):
    return mean([scipy_cosine(a, b) for a, b in zip(x, y, strict=True)], w)


def infonce(x, y, w, temperature=0.1):
    keep = w > 0
    x, y, w = x[keep], y[keep], w[keep]
    if not len(w):
        return 0.0
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    loss = []
    for i in range(len(w)):
        to_y = [x[i] @ y[j] / temperature for j in range(len(w))]
        to_x = [x[j] @ y[i] / temperature for j in range(len(w))]
        own = x[i] @ y[i] / temperature + np.log(w[i])
        loss.append((logsumexp(to_y, b=w) - own + logsumexp(to_x, b=w) - own) / 2)
    return mean(loss, w)


def mmd_scale(x, y, w):
    pooled, p = np.concatenate([x, y]), np.concatenate([w, w]) / (2 * w.sum())
    return p @ euclidean_distances(pooled, squared=True) @ p


def mmd(x, y, w, multiples=MULTIPLES, scale=None):
    if w.sum() == 0:
        return 0.0
    scale = mmd_scale(x, y, w) if scale is None else scale
    p = w / w.sum()

    def k(u, v):
        d2 = ((u[:, None, :] - v[None, :, :]) ** 2).sum(-1)
        return p @ np.mean([np.exp(-d2 / (c * scale)) for c in multiples], axis=0) @ p

    return k(x, x) + k(y, y) - 2 * k(x, y)


def cross_correlation(x, y, w):
    if w.sum() == 0:
        return 0.0
    d = x.shape[1]
    covariance = np.cov(x.T, y.T, aweights=w, ddof=0)
    std = np.sqrt(np.diag(covariance))
    return np.mean((covariance / np.outer(std, std))[:d, d:] ** 2)


def std(x, w):
    centre = np.average(x, axis=0, weights=w)
    return np.sqrt(np.average((x - centre) ** 2, axis=0, weights=w))


def task_errors(raw, labels, form):
    """Absolute error, or cross-entropy, of every row."""
    if form == "number":
        return np.abs(raw[:, 0] - labels)
    if form == "class":
        return -log_softmax(raw, axis=1)[np.arange(len(raw)), labels.astype(int)]
    return -bernoulli.logpmf(labels, expit(raw)).mean(1)


def said(raw, labels, w, form):
    """How far every row is from a prediction that is the same for all samples."""
    if form == "number":
        return np.square(raw[:, 0] - mean(labels, w))
    if form == "class":
        return entropy(np.full_like(raw, 1 / raw.shape[1]), softmax(raw, axis=1), axis=1)
    two_classes = np.stack([expit(raw), expit(-raw)], axis=-1)
    return entropy(np.full_like(two_classes, 0.5), two_classes, axis=-1).mean(1)


def label_rows(labels, form):
    if form == "class":
        return np.eye(OUTPUTS[form])[labels.astype(int)]
    return labels if form == "binary" else labels[:, None]


def supervised_contrastive(x, y, w, temperature=0.1, bandwidth=0.5):
    keep = w > 0
    x, y, w = x[keep], y[keep], w[keep]
    if len(w) < 2:
        return 0.0
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    loss = []
    for i in range(len(w)):
        others = [j for j in range(len(w)) if j != i]
        distances = np.sum((y[others] - y[i]) ** 2, axis=1)
        target = softmax(np.log(w[others]) - distances / (2 * bandwidth**2))
        logits = x[others] @ x[i] / temperature + np.log(w[others])
        loss.append(-target @ (logits - logsumexp(logits)))
    return mean(loss, w)


def example_labels(form="number", seed=0, b=16):
    rng = np.random.default_rng(seed + 200)
    if form == "class":
        labels = rng.permutation(np.arange(b) % OUTPUTS[form])
    elif form == "binary":
        labels = rng.integers(2, size=(b, OUTPUTS[form]))
    else:
        labels = rng.uniform(-3, 3, size=b)
    return jnp.asarray(labels, jnp.float32)


def example_batch(seed=0, b=16, form="number"):
    rng = np.random.default_rng(seed)
    valid = {m: rng.uniform(size=(b, FRAMES[m])) < 0.8 for m in MODALITIES}
    valid["vision"][2] = False
    features = {
        m: (rng.normal(size=(b, FRAMES[m], FEATURES[m])) * valid[m][:, :, None]).astype(np.float32)
        for m in MODALITIES
    }
    weights = np.ones(b, np.float32)
    weights[-2:] = 0
    return Batch(
        features={m: jnp.asarray(v) for m, v in features.items()},
        valid={m: jnp.asarray(v) for m, v in valid.items()},
        labels=example_labels(form, seed, b),
        weights=jnp.asarray(weights),
    )


def example_outputs(
    seed=0,
    *,
    b=16,
    d=6,
    k=2,
    available=None,
    outputs=1,
    heterogeneous="task",
    noise="adversarial",
    crossed=False,
    decoded=None,
):
    """Outputs of k views, with the heads that the options of these names ask for.

    `available` fixes the availability of each modality for all samples; `outputs` is the width of
    the heads, `decoded` those of the decoders (by default those of the features).
    """
    rng = np.random.default_rng(seed + 100)

    def normal(*shape, rng=rng):
        return rng.normal(size=shape).astype(np.float32)

    if available is None:
        present = {m: (rng.uniform(size=(k, b)) < 0.7).astype(np.float32) for m in MODALITIES}
    else:
        present = {m: np.full((k, b), available[m], np.float32) for m in MODALITIES}

    def coded():
        return {m: jnp.asarray(normal(k, b, d) * present[m][:, :, None]) for m in MODALITIES}

    def heads(stream, *shape):
        # Random numbers of their own: which heads there are changes nothing else.
        rng = np.random.default_rng([seed, stream])
        return {m: jnp.asarray(2 * normal(k, b, *shape, rng=rng)) for m in MODALITIES}

    codes = Codes(
        available={m: jnp.asarray(v) for m, v in present.items()},
        pooled=coded(),
        homogeneous=coded(),
        heterogeneous=coded(),
        noise=coded(),
        noise_moments={},
        fused=jnp.asarray(normal(k, b, d)),
    )
    prediction = jnp.asarray(normal(k, b, outputs))
    completeness = jnp.asarray(rng.uniform(0.05, 1, size=(k, b)), jnp.float32)
    others = (len(MODALITIES) - 1,) if crossed else ()
    widths = decoded or FEATURES
    auxiliary = Auxiliary(
        heterogeneous=heads(1, outputs) if heterogeneous.startswith("task") else {},
        noise=heads(2, outputs) if noise in ("adversarial", "uniform") else {},
        frozen_noise={},
        reconstruction={m: jnp.asarray(normal(k, b, *others, widths[m])) for m in MODALITIES},
    )
    if heterogeneous == "modality":
        auxiliary = auxiliary.replace(heterogeneous=heads(3, len(MODALITIES)))
    if noise == "uniform":
        # The head held still says the same as the one that learns; only the gradient differs.
        auxiliary = auxiliary.replace(frozen_noise=dict(auxiliary.noise))
    if noise == "bottleneck":
        codes = codes.replace(noise_moments=heads(4, 2, d))
    return Outputs(codes, prediction, completeness, auxiliary)


def options_with(changes):
    """The default options but for some, by dotted names such as `noise.kind`."""
    options = LossOptions()
    for name, value in changes.items():
        section, option = name.split(".")
        changed = dataclasses.replace(getattr(options, section), **{option: value})
        options = dataclasses.replace(options, **{section: changed})
    return options


def heads_for(options, d=6):
    """What `example_outputs` has to give for these options."""
    gaussian = options.task.kind == "gaussian"
    frames = options.reconstruction.target == "frames"
    return {
        "outputs": 2 if gaussian else OUTPUTS[options.task.form],
        "heterogeneous": options.heterogeneous.kind,
        "noise": options.noise.kind,
        "crossed": options.reconstruction.crossed,
        "decoded": None if frames else dict.fromkeys(MODALITIES, d),
    }


def example_weights(value=None, divergences=("mmd", "mse")):
    """Weights 0.1, 0.2, ... in the order of `by_name`, or one value for all."""
    tenths = count(1)

    def take():
        return jnp.float32(next(tenths) / 10 if value is None else value)

    return LossWeights(
        homogeneous=take(),
        heterogeneous=take(),
        noise=take(),
        variance_floor=take(),
        redundancy=take(),
        reconstruction=take(),
        feature_distillation={name: take() for name in sorted(divergences)},
        prediction_distillation=take(),
    )
