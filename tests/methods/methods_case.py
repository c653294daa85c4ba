"""A tiny network and masks, and the whole loss of FSRF once more in NumPy float64."""

import dataclasses
from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import losses_reference as reference
import measures_reference as measures
import numpy as np
from scipy.stats import norm

from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.methods.fsrf import Network
from fsrf_jax.methods.passes import unstack_views
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import merge, split
from fsrf_jax.types import Step, View

KEY = jax.random.key(0)
PROGRESS = jnp.float32(0.5)
NAMES = reference.NAMES
# Few parts, so that a program compiles fast; `BLOCKS` has Transformers everywhere.
MODEL = ModelOptions(
    width=4, heads=2, encoder_layers=0, dropout=0.0, kernel=1, fusion="concatenation"
)
BLOCKS = ModelOptions(width=4, heads=2, expansion=1, dropout=0.0)
OUTPUTS = {"class": 3, "binary": 2, "number": 1}
jit = partial(jax.jit, compiler_options=reference.QUICK)


def task_of(kind):
    return Task(kind, OUTPUTS[Task(kind).form])


def changed(options, changes):
    """Options with some values, by dotted name, replaced."""
    plain, sections = {}, {}
    for name, value in changes.items():
        section, _, rest = name.partition(".")
        if rest:
            sections.setdefault(section, {})[rest] = value
        else:
            plain[name] = value
    nested = {name: changed(getattr(options, name), part) for name, part in sections.items()}
    return dataclasses.replace(options, **plain, **nested)


def method_with(changes=None):
    return changed(Fsrf(), changes or {})


def example_views(batch, method, seed=8):
    """As many views as the method asks for, with whole modalities and single frames missing.

    Sample 0 misses all of view 0, and nothing of sample 1 is missing.
    """
    rng = np.random.default_rng(seed)
    views = []
    for k in range(method.views):
        view = {}
        for m in reference.MODALITIES:
            b, t = batch.valid[m].shape
            kept = (rng.uniform(size=(b, 1)) < 0.7) & (rng.uniform(size=(b, t)) < 0.7)
            kept[0] &= k > 0
            kept[1] = True
            view[m] = batch.present[m] & jnp.asarray(kept)
        views.append(view)
    return views + [batch.present] * method.complete_view


def fill(shapes, seed=0):
    """Random parameters of these shapes: nothing is 0, and scales are about 1."""
    rng = np.random.default_rng(seed)

    def one(path, shape):
        x = rng.normal(size=shape.shape, scale=0.5).astype(np.float32)
        around_1 = jax.tree_util.keystr(path).endswith("['scale']")
        return jnp.asarray(1 + x / 2 if around_1 else x)

    return jax.tree_util.tree_map_with_path(one, shapes)


def step_of(batch, views):
    return Step(batch, views, PROGRESS, KEY)


def shapes_of(method, setting, batch):
    return jax.eval_shape(lambda: method.init(setting, batch, KEY))


def parameters_of(method, setting, batch, seed=0):
    """Random parameters as after some training; drawn without a program to compile."""
    return fill(shapes_of(method, setting, batch), seed)


@partial(jit, static_argnums=(0, 1))
def terms_and_factors(static, setting, hyper, parameters, batch, views):
    """Every raw term, and what the network makes of each view, [k, ..]."""
    method = merge(static, hyper)
    terms = method.loss(setting, parameters, None, step_of(batch, views))
    k = len(views)
    stack = partial(jax.tree.map, lambda *x: jnp.concatenate(x))
    view = View(stack(*[batch.features] * k), stack(*[batch.valid] * k), stack(*views))
    network = Network(method, setting)
    variables = {"params": parameters["inference"]}
    stacked = network.apply(variables, view, train=True, rngs={"dropout": KEY})
    return terms, unstack_views(stacked, k)


def case_of(kind, changes, model=MODEL):
    """Method, setting, parameters, batch and views for these options."""
    method, setting = method_with(changes), Setting(task_of(kind), model)
    batch = reference.example_batch(form=setting.task.form)
    parameters = parameters_of(method, setting, batch)
    return method, setting, parameters, batch, example_views(batch, method)


def evaluate(method, setting, parameters, batch, views):
    static, hyper = split(method)
    return jax.device_get(terms_and_factors(static, setting, hyper, parameters, batch, views))


# ---- the reference


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def perceptron(p, x):
    hidden = gelu(x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"])
    return hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]


def perceptrons(p, x_m):
    """One of each modality."""
    own = [jax.tree.map(lambda leaf, i=i: leaf[i], p) for i in range(len(x_m))]
    return np.stack([perceptron(one, x) for one, x in zip(own, x_m, strict=True)])


def task_errors(task, raw, labels):
    error = raw[:, 0] - labels if task.form == "number" else None
    if task.kind == "mse":
        return error**2
    if task.kind == "huber":
        return np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5)
    if task.kind == "gaussian":
        log_density = norm.logpdf(labels, raw[:, 0], np.exp(3 * np.tanh(raw[:, 1] / 6)))
        return -log_density - np.log(2 * np.pi) / 2
    return reference.task_errors(raw, labels, task.form)


def divergence(name, options):
    given = {key: x for key, x in options.of(name).items() if key != "iterations"}
    return partial(measures.value, name, **given)


def heterogeneous(method, task, heads, view, labels, w_mb):
    chosen, s_mbd = method.heterogeneous, view.heterogeneous
    if chosen.kind == "contrastive":
        rows = reference.label_rows(labels, task.form)
        return reference.contrastive(s_mbd, rows, w_mb, chosen.temperature, chosen.bandwidth)
    if chosen.kind == "modality":
        return reference.modality(perceptron(heads["modality"], s_mbd), w_mb)
    if chosen.kind == "task":
        s_mbd = np.concatenate([view.homogeneous, s_mbd], axis=-1)
    raw_mbo = perceptrons(heads["heterogeneous"], s_mbd)

    def loss(raw, labels, w):
        return reference.mean(task_errors(task, raw, labels), w)

    return reference.over(loss, raw_mbo, [labels] * len(raw_mbo), w_mb)


def noise(method, task, heads, view, labels, w_mb):
    chosen, n_mbd = method.noise, view.noise
    if chosen.kind == "bottleneck":
        return reference.bottleneck(*view.moments, w_mb)
    if chosen.kind == "dependence":
        rows = reference.label_rows(labels, task.form)
        measure = partial(measures.value, chosen.dependence)
        return reference.noise_dependence(n_mbd, rows, w_mb, measure)
    raw_mbo = perceptrons(heads["adversary"], n_mbd)
    if chosen.kind == "uniform":
        return reference.uniform(raw_mbo, raw_mbo, labels, w_mb, task.form)
    return reference.adversarial(raw_mbo, labels, w_mb, task.form, chosen.bound)


def reconstruction(method, heads, view, target, w_mb, w_b):
    h, s, n = view.homogeneous, view.heterogeneous, view.noise
    decoded = {}
    for i, m in enumerate(NAMES):
        if method.reconstruction.crossed:
            others = [j for j in range(len(NAMES)) if j != i]
            codes = [np.concatenate([h[j], s[i]], axis=-1) for j in others]
            decoded[m] = np.stack([perceptron(heads[f"decoder_{m}"], x) for x in codes], axis=1)
        else:
            codes = np.concatenate([h[i], s[i], n[i]], axis=-1)
            decoded[m] = perceptron(heads[f"decoder_{m}"], codes)
    if method.reconstruction.crossed:
        return reference.crossed(decoded, target, view.available, w_b)
    return reference.reconstruction(decoded, target, w_mb)


def mean_frame(batch):
    means = {}
    for m in NAMES:
        present = np.asarray(batch.present[m])
        rows = zip(np.asarray(batch.features[m], np.float64), present, strict=True)
        means[m] = np.stack([x[p].sum(axis=0) / max(p.sum(), 1) for x, p in rows])
    return means


def observed_share(valid, observed):
    """Of each sample: mean over the modalities it has of the observed share of its frames."""
    shares = []
    for b in range(len(valid[NAMES[0]])):
        has = [m for m in NAMES if valid[m][b].any()]
        shares.append(np.mean([observed[m][b].sum() / valid[m][b].sum() for m in has] or [0]))
    return np.asarray(shares)


def distillation(method, task, views, share_kb, w_b):
    chosen = method.distillation
    names = sorted(method.weights.feature_distillation)
    parts = {f"feature_distillation.{name}": [] for name in names}
    parts["prediction_distillation"] = []

    def lessons(learner, teacher):
        may = share_kb[teacher] > share_kb[learner] if chosen.direction != "both" else 1.0
        return w_b * may * (share_kb[teacher] if chosen.weigh_teacher else 1.0)

    kind = chosen.prediction
    if kind == "auto":
        kind = "squared" if task.form == "number" else "kl"
    if kind == "kl":
        assert chosen.temperature == 2  # that of the reference
        kind = "binary_kl" if task.form == "binary" else "kl"
    pairs = combinations(range(len(views)), 2) if chosen.direction != "off" else ()
    for i, j in pairs:
        both = views[i].available * views[j].available
        has = {"fused": np.ones_like(both[:1]), "homogeneous": both, "heterogeneous": both}
        first, second = (
            np.concatenate([getattr(views[k], code) for code in chosen.codes]) for k in (i, j)
        )
        shared = np.concatenate([has[code] for code in chosen.codes])
        to_i, to_j = lessons(i, j), lessons(j, i)
        for name in names:
            measure = divergence(name, method.measures)
            term = reference.features(first, second, shared, to_i, to_j, measure)
            parts[f"feature_distillation.{name}"].append(term)
        ways = []
        for learner, teacher, w in ((i, j, to_i), (j, i, to_j)):
            error = reference.disagreement(kind, views[learner].raw[0], views[teacher].raw[0])
            ways.append((reference.mean(error, w), w))
        parts["prediction_distillation"].append(reference.mean_of_active(ways))
    return {name: reference.mean_of_active(of_pairs)[0] for name, of_pairs in parts.items()}


def expected_terms(method, task, training, factors, batch, observed):
    """Every term in float64, from the codes and raw outputs of all views and the heads."""
    heads, factors = reference.as_float64((training, factors))
    views = [jax.tree.map(lambda x, k=k: x[k], factors) for k in range(len(observed))]
    labels, w_b = np.asarray(batch.labels, np.float64), np.asarray(batch.weights, np.float64)
    parts = {}
    for view in views:
        w_mb = view.available * w_b
        pooled = views[-1] if method.reconstruction.target == "complete" else view
        target = dict(zip(NAMES, pooled.pooled, strict=True))
        if method.reconstruction.target == "frames":
            target = mean_frame(batch)
        measure = divergence(method.homogeneous.divergence, method.measures)
        dependence = partial(measures.value, method.redundancy.dependence)
        codes = view.homogeneous, view.heterogeneous, view.noise
        of_view = {
            "homogeneous": reference.homogeneous(codes[0], view.available, w_b, measure),
            "heterogeneous": heterogeneous(method, task, heads, view, labels, w_mb),
            "noise": noise(method, task, heads, view, labels, w_mb),
            "variance_floor": reference.spread(view.noise, w_mb, method.noise.floor),
            "redundancy": reference.redundancy(*codes, view.available, w_b, dependence),
            "reconstruction": reconstruction(method, heads, view, target, w_mb, w_b),
        }
        for name, term in of_view.items():
            parts.setdefault(name, []).append(term)
    terms = {name: reference.mean_of_active(of_views)[0] for name, of_views in parts.items()}
    errors = [reference.mean(task_errors(task, view.raw[0], labels), w_b) for view in views]
    terms["task"] = np.mean(errors)
    share_kb = np.stack([observed_share(batch.valid, view) for view in observed])
    return terms | distillation(method, task, views, share_kb, w_b)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def assert_zero(tree):
    for leaf in jax.tree.leaves(tree):
        np.testing.assert_array_equal(leaf, 0)
