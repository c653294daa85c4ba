"""The losses once more in NumPy float64, written from the formulas, and examples to run them on.

A reference of a term takes the arrays that the term takes, and gives its value and weight.
"""

from itertools import combinations, permutations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy.integrate import quad
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.special import expit, log_softmax, logsumexp, rel_entr, softmax
from scipy.stats import bernoulli, entropy, norm
from sklearn.metrics.pairwise import euclidean_distances

from fsrf_jax.losses import Task
from fsrf_jax.types import Batch

MODALITIES = ("language", "audio", "vision")
NAMES = sorted(MODALITIES)  # the order of the axis m
FEATURES = {"language": 5, "audio": 3, "vision": 4}
FRAMES = {"language": 4, "audio": 6, "vision": 5}
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
KINDS = {"number": "l1", "class": "cross_entropy", "binary": "binary_cross_entropy"}
OUTPUTS = {"number": 1, "class": 3, "binary": 2}
TASKS = {form: Task(kind, OUTPUTS[form]) for form, kind in KINDS.items()}
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
        partner = x[i] @ y[i] / temperature + np.log(w[i])
        loss.append((logsumexp(to_y, b=w) - partner + logsumexp(to_x, b=w) - partner) / 2)
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
    product = np.outer(std, std)
    # A constant column is correlated with nothing.
    varies = product > 1e-12
    return np.mean((np.where(varies, covariance, 0) / np.where(varies, product, 1))[:d, d:] ** 2)


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


def information(raw, labels, w, form):
    """How far every row is from a prediction that is the same for all samples."""
    if form == "number":
        return np.square(raw[:, 0] - mean(labels, w))
    if form == "class":
        return entropy(np.full_like(raw, 1 / raw.shape[1]), softmax(raw, axis=1), axis=1)
    two_classes = np.stack([expit(raw), expit(-raw)], axis=-1)
    return entropy(np.full_like(two_classes, 0.5), two_classes, axis=-1).mean(1)


def disagreement(name, learner, teacher):
    """Each row by the definition, at a temperature of 2 where there is one."""
    if name == "squared":
        return (learner[:, 0] - teacher[:, 0]) ** 2
    if name == "kl":
        return 4 * rel_entr(softmax(teacher / 2, axis=1), softmax(learner / 2, axis=1)).sum(1)
    if name == "binary_kl":
        q, p = expit(teacher / 2), expit(learner / 2)
        return 4 * (rel_entr(q, p) + rel_entr(1 - q, 1 - p)).mean(1)

    def integrand(x, q, p):
        return q.pdf(x) * (q.logpdf(x) - p.logpdf(x))

    def distribution(row):
        return norm(row[0], np.exp(3 * np.tanh(row[1] / 6)))

    pairs = zip(map(distribution, teacher), map(distribution, learner), strict=True)
    return [
        quad(integrand, q.mean() - 9 * q.std(), q.mean() + 9 * q.std(), (q, p))[0] for q, p in pairs
    ]


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


def mean_of_active(parts):
    """Value and weight of a term from those of its parts, values and weights [b]."""
    active = [value for value, w_b in parts if np.sum(w_b) > 0]
    return np.mean(active) if active else 0.0, sum(np.sum(w_b) for _, w_b in parts)


def over(function, x_n, y_n, weights_nb):
    """Value and weight of a term over n triples."""
    triples = zip(x_n, y_n, weights_nb, strict=True)
    return mean_of_active([(function(x, y, w_b), w_b) for x, y, w_b in triples])


def pair_triples(x_mbd, available_mb, w):
    pairs = combinations(range(len(x_mbd)), 2)
    return [(x_mbd[i], x_mbd[j], available_mb[i] * available_mb[j] * w) for i, j in pairs]


def homogeneous(h_mbd, available_mb, w, divergence=infonce):
    triples = pair_triples(h_mbd, available_mb, w)
    return mean_of_active([(divergence(*triple), triple[2]) for triple in triples])


def redundancy(h_mbd, s_mbd, n_mbd, available_mb, w, dependence=cross_correlation):
    triples = pair_triples(s_mbd, available_mb, w)
    for h, s, n, available_b in zip(h_mbd, s_mbd, n_mbd, available_mb, strict=True):
        triples += [(x, y, available_b * w) for x, y in combinations((h, s, n), 2)]
    return mean_of_active([(dependence(*triple), triple[2]) for triple in triples])


def task_heads(raw_mbo, labels, weights_mb, form):
    def loss(raw, labels, w):
        return mean(task_errors(raw, labels, form), w)

    return over(loss, raw_mbo, [labels] * len(raw_mbo), weights_mb)


def modality(logits_mbm, weights_mb):
    def loss(logits, i, w):
        return mean(task_errors(logits, np.full(len(w), i), "class"), w)

    return over(loss, logits_mbm, range(len(logits_mbm)), weights_mb)


def contrastive(s_mbd, label_rows_be, weights_mb, temperature=0.1, bandwidth=0.5):
    def loss(s, y, w):
        return supervised_contrastive(s, y, w, temperature, bandwidth)

    return over(loss, s_mbd, [label_rows_be] * len(s_mbd), weights_mb)


def adversarial(raw_mbo, labels, weights_mb, form, bound):
    limit = {"number": bound, "class": np.log(OUTPUTS["class"]), "binary": np.log(2)}[form]

    def loss(raw, labels, w):
        return mean(np.minimum(task_errors(raw, labels, form), limit), w)

    return over(loss, raw_mbo, [labels] * len(raw_mbo), weights_mb)


def bottleneck(mean_mbd, log_mbd, weights_mb):
    def rate(mean_bd, log_bd, w):
        return mean((mean_bd**2 + np.exp(log_bd) - 1 - log_bd).mean(1) / 2, w)

    return over(rate, mean_mbd, log_mbd, weights_mb)


def noise_dependence(n_mbd, label_rows_be, weights_mb, measure=cross_correlation):
    return over(measure, n_mbd, [label_rows_be] * len(n_mbd), weights_mb)


def uniform(learning_mbo, held_mbo, labels, weights_mb, form):
    def loss(learning, held, w):
        errors = task_errors(learning, labels, form)
        return mean(errors + information(held, labels, w, form), w)

    return over(loss, learning_mbo, held_mbo, weights_mb)


def spread(n_mbd, weights_mb, floor):
    def loss(n, _, w):
        return np.maximum(0, floor - std(n, w)).mean() if w.sum() else 0.0

    return over(loss, n_mbd, n_mbd, weights_mb)


def reconstruction(decoded, target, weights_mb):
    """Each modality from its three codes."""
    return mean_of_active(
        [(mse(decoded[m], target[m], w), w) for m, w in zip(NAMES, weights_mb, strict=True)]
    )


def crossed(decoded, target, available_mb, w):
    """Each modality from the homogeneous code of each other one."""
    parts = []
    for i, j in permutations(range(len(NAMES)), 2):
        others = [other for other in range(len(NAMES)) if other != i]
        both = available_mb[i] * available_mb[j] * w
        value = mse(decoded[NAMES[i]][:, others.index(j)], target[NAMES[i]], both)
        parts.append((value, both))
    return mean_of_active(parts)


def features(first_nbd, second_nbd, shared_nb, to_first, to_second, divergence):
    """Codes of two views, both ways."""
    ways = [
        (x, y, shared_b * w)
        for a_nbd, b_nbd, w in (
            (first_nbd, second_nbd, to_first),
            (second_nbd, first_nbd, to_second),
        )
        for x, y, shared_b in zip(a_nbd, b_nbd, shared_nb, strict=True)
    ]
    return mean_of_active([(divergence(*way), way[2]) for way in ways])


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
    gaps = np.random.default_rng([seed, 1])
    present = {m: v & (gaps.uniform(size=v.shape) < 0.9) for m, v in valid.items()}
    features = {
        m: (rng.normal(size=(b, FRAMES[m], FEATURES[m])) * present[m][:, :, None]).astype(
            np.float32
        )
        for m in MODALITIES
    }
    weights = np.ones(b, np.float32)
    weights[-2:] = 0
    return Batch(
        features={m: jnp.asarray(v) for m, v in features.items()},
        valid={m: jnp.asarray(v) for m, v in valid.items()},
        present={m: jnp.asarray(v) for m, v in present.items()},
        labels=example_labels(form, seed, b),
        weights=jnp.asarray(weights),
    )


@struct.dataclass
class View:
    """Codes of one view and what heads say of them: all that some term takes.

    Every field has random numbers of a separate stream. What is absent is zero in codes alone.
    """

    available_mb: jax.Array
    h_mbd: jax.Array
    s_mbd: jax.Array
    n_mbd: jax.Array
    mean_mbd: jax.Array  # moments of a random noise code
    log_variance_mbd: jax.Array
    task_mbo: jax.Array  # raw output of the task heads on S
    logits_mbm: jax.Array  # of the classifier of modalities
    noise_mbo: jax.Array  # raw output of the heads on N
    decoded: dict  # [b, f] per modality
    crossed: dict  # [b, m - 1, f] per modality
    fused_bd: jax.Array
    prediction_bo: jax.Array
    completeness_b: jax.Array


def example_view(seed=0, *, b=16, d=6, available=None, width=1, decoded=FEATURES):
    """One view.

    `available` fixes the availability of modalities, by name, for all samples; `width` is that of
    the heads, `decoded` has those of the decoders.
    """
    m = len(NAMES)
    streams = iter(np.random.default_rng(seed + 100).spawn(20))

    def normal(*shape):
        return next(streams).normal(size=shape).astype(np.float32)

    available_mb = (next(streams).uniform(size=(m, b)) < 0.7).astype(np.float32)
    if available is not None:
        available_mb = np.repeat([[available[name]] for name in NAMES], b, 1).astype(np.float32)
    completeness_b = next(streams).uniform(0.05, 1, b).astype(np.float32)
    h_mbd, s_mbd, n_mbd = (normal(m, b, d) * available_mb[:, :, None] for _ in range(3))
    return View(
        available_mb=available_mb,
        h_mbd=h_mbd,
        s_mbd=s_mbd,
        n_mbd=n_mbd,
        mean_mbd=2 * normal(m, b, d),
        log_variance_mbd=2 * normal(m, b, d),
        task_mbo=2 * normal(m, b, width),
        logits_mbm=2 * normal(m, b, m),
        noise_mbo=2 * normal(m, b, width),
        decoded={name: normal(b, decoded[name]) for name in NAMES},
        crossed={name: normal(b, m - 1, decoded[name]) for name in NAMES},
        fused_bd=normal(b, d),
        prediction_bo=normal(b, width),
        completeness_b=completeness_b,
    )


def codes_of(view, names=("fused", "heterogeneous", "homogeneous")):
    """The chosen codes [n, b, d] of a view, and where each is available [n, b]."""
    fused = view.fused_bd[None], np.ones_like(view.available_mb[:1])
    codes = {
        "fused": fused,
        "heterogeneous": (view.s_mbd, view.available_mb),
        "homogeneous": (view.h_mbd, view.available_mb),
    }
    return tuple(np.concatenate(arrays) for arrays in zip(*(codes[n] for n in names), strict=True))


def as_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)
