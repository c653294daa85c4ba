"""FSRF against an independent program in PyTorch: benchmarks/twin, with the same numbers.

Run with the extra `benchmark` installed: pytest tests/methods/test_torch_twin.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from losses_reference import QUICK

from fsrf_jax import arguments
from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.methods.fsrf import Network
from fsrf_jax.methods.passes import of_views
from fsrf_jax.missing import Missing, random_view
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import merge, split
from fsrf_jax.training.optimizer import OptimizerOptions, make_optimizer
from fsrf_jax.types import Batch, Step, View

torch = pytest.importorskip("torch")

from twin.losses import Samples, loss_terms, total  # noqa: E402
from twin.network import Sizes, Twin  # noqa: E402
from twin.training import Trainer, rate  # noqa: E402
from twin.training import random_view as torch_random_view  # noqa: E402
from twin.weights import from_pytree  # noqa: E402

TOLERANCE = 1e-4
ROWS, PADDING = 12, 2
FRAMES = {"audio": 14, "language": 6, "vision": 9}
WIDTHS = {"audio": 3, "language": 7, "vision": 5}
MODEL = ModelOptions(dropout=0.0)
SETTING = Setting(Task("l1"), MODEL)
SIZES = Sizes(WIDTHS, dropout=0.0)
jit = partial(jax.jit, compiler_options=QUICK)


def example_batch():
    """Unaligned sequences; row 0 has no audio, row 1 a gap, and the last rows are empty."""
    rng = np.random.default_rng(0)
    features, valid, present = {}, {}, {}
    for m, t in FRAMES.items():
        length_b = rng.integers(2, t + 1, size=ROWS)
        length_b[2] = t
        length_b[0] *= m != "audio"
        length_b[-PADDING:] = 0
        valid[m] = np.arange(t) < length_b[:, None]
        present[m] = valid[m].copy()
        present[m][1, 0] = False
        x_btf = rng.normal(size=(ROWS, t, WIDTHS[m])).astype(np.float32)
        features[m] = np.where(present[m][..., None], x_btf, 0)
    labels = rng.uniform(-3, 3, size=ROWS).astype(np.float32)
    weights = np.ones(ROWS, np.float32)
    weights[3] = 0.5
    weights[-PADDING:] = 0
    return jax.tree.map(jnp.asarray, Batch(features, valid, present, labels, weights))


def example_views(batch, count):
    """Row 4 misses all but vision in the first view, and row 5 misses nothing."""
    rng = np.random.default_rng(1)
    views = []
    for k in range(count):
        view = {}
        for m, present in batch.present.items():
            kept = rng.uniform(size=present.shape) < 0.6
            kept &= rng.uniform(size=(ROWS, 1)) < 0.8
            kept[4] &= k > 0 or m == "vision"
            kept[5] = True
            view[m] = present & jnp.asarray(kept)
        views.append(view)
    return views


def to_torch(tree):
    return jax.tree.map(lambda x: torch.tensor(np.asarray(x)), tree)


def samples_of(batch):
    parts = batch.features, batch.present, batch.labels, batch.weights
    return Samples(*map(to_torch, parts))


def case(config="configs/methods/fsrf.yaml", complete_view=False):
    """Method, batch, views, parameters of which none is 0, and the twin with the same."""
    method = arguments.load(config, {"method.complete_view": complete_view}).method
    batch = example_batch()
    shapes = jax.eval_shape(lambda: method.init(SETTING, batch, jax.random.key(0)))
    rng = np.random.default_rng(2)

    def draw(shape):
        # Of usual size, so that errors lie on both sides of the adversary's bound; none is 0.
        scale = 0.25 if len(shape.shape) < 2 else 1.5 * shape.shape[-2] ** -0.5
        return jnp.asarray(rng.normal(scale=scale, size=shape.shape).astype(np.float32))

    parameters = jax.tree.map(draw, shapes)
    views = example_views(batch, 2) + [batch.present] * complete_view
    twin = Twin(SIZES)
    twin.load_state_dict(from_pytree(parameters))  # also says that names and shapes are the same
    return method, batch, views, parameters, twin


def assert_close(theirs, ours, name):
    """Within 1e-4 of the largest entry."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, name
    limit = TOLERANCE * np.abs(ours).max()
    assert np.abs(ours).max() > 0, f"{name}: nothing to compare"
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=limit, err_msg=name)


def test_outputs_agree():
    method, batch, views, parameters, twin = case()
    static, _ = split(method)
    step = Step(batch, views, jnp.float32(0.5), jax.random.key(0))
    ours = jit(lambda p: of_views(Network(static, SETTING), p, step))(parameters["inference"])
    features = to_torch({m: jnp.concatenate([x, x]) for m, x in batch.features.items()})
    observed = to_torch({m: jnp.concatenate([v[m] for v in views]) for m in FRAMES})
    with torch.no_grad():
        theirs = twin(features, observed)
    for name in ("available", "homogeneous", "heterogeneous", "noise"):
        found = getattr(theirs, name)
        by_view = found.view(len(found), 2, ROWS, *found.shape[2:]).transpose(0, 1)
        assert_close(by_view, getattr(ours, name), name)
    assert_close(theirs.fused.view(2, ROWS, -1), ours.fused[:, 0], "fused")
    assert_close(theirs.raw.view(2, ROWS, 1), ours.raw[:, 0], "raw")
    absent = ~observed["audio"].any(dim=1)
    assert 2 <= absent.sum() < 2 * ROWS
    assert not theirs.homogeneous[0][absent].any()


def test_predictions_agree():
    method, batch, views, parameters, twin = case()
    view = View(batch.features, batch.valid, views[0])
    ours = jit(lambda p: method.predict(SETTING, p, view))(parameters["inference"])
    with torch.inference_mode():
        theirs = twin.eval().predict(to_torch(batch.features), to_torch(views[0]))
    assert_close(theirs, ours, "prediction")


@pytest.mark.parametrize(
    ("config", "complete_view"),
    [("configs/methods/fsrf.yaml", False), ("configs/methods/fsrf_pure.yaml", True)],
)
def test_terms_total_and_gradients_agree(config, complete_view):
    method, batch, views, parameters, twin = case(config, complete_view)
    static, hyper = split(method)

    def objective(parameters, hyper):
        chosen = merge(static, hyper)
        step = Step(batch, views, jnp.float32(0.5), jax.random.key(0))
        terms = chosen.loss(SETTING, parameters, None, step)
        weights = chosen.term_weights(step.progress)
        return terms["task"] + sum(weights[t] * terms[t] for t in weights), (terms, weights)

    found = jit(jax.value_and_grad(objective, has_aux=True))(parameters, hyper)
    (value, (terms, weights)), gradient = jax.device_get(found)
    theirs = loss_terms(twin, samples_of(batch), to_torch(views))
    assert set(theirs) == set(terms)
    for name, term in terms.items():
        assert_close(theirs[name].detach(), term, name)
    loss = total(theirs, {name: float(weight) for name, weight in weights.items()})
    assert_close(loss.detach(), value, "total")
    loss.backward()
    ours = from_pytree(gradient)
    for name, parameter in twin.named_parameters():
        assert_close(parameter.grad, ours[name], name)


def test_default_weights_are_ours():
    from twin.losses import WEIGHTS

    _, hyper = split(Fsrf().weights)
    assert {name: float(np.float32(w)) for name, w in WEIGHTS.items()} == {
        name: float(w) for name, w in hyper.items()
    }


def test_optimizer_agrees():
    *_, parameters, twin = case()
    steps, rng = 20, np.random.default_rng(3)
    optimizer = make_optimizer(OptimizerOptions(), steps)
    state, trainer = optimizer.init(parameters), Trainer(twin, steps)

    @jit
    def update(gradient, state, parameters):
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    # Norms on both sides of the limit: AdamW alone does not feel a common factor.
    for size in (1, 1e-3, 1, 1e-2, 1e-3, 1):
        draw = partial(rng.normal, scale=size)
        gradient = jax.tree.map(lambda p, d=draw: d(size=p.shape).astype(np.float32), parameters)
        parameters, state = update(gradient, state, parameters)
        for name, part in from_pytree(gradient).items():
            twin.get_parameter(name).grad = part
        trainer.update()
    ours = from_pytree(parameters)
    for name, parameter in twin.named_parameters():
        assert_close(parameter.detach(), ours[name], name)


def test_schedule_is_ours():
    ours = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 10, 100)
    for step in (0, 3, 10, 50, 100):
        assert rate(step, 100) == pytest.approx(float(ours(step)), abs=1e-9)


def test_random_views_are_drawn_as_ours():
    rows = 40_000
    present = {m: np.ones((rows, t), bool) for m, t in FRAMES.items()}
    present["vision"][:, 4:] = False
    present["audio"][: rows // 2] = False
    ours = jit(random_view, static_argnums=2)(
        jax.random.key(0), jax.tree.map(jnp.asarray, present), Missing()
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch_random_view(to_torch(present))
    for m, mask in theirs.items():
        mask = mask.numpy()
        assert not (mask & ~present[m]).any()
        for half in (slice(0, rows // 2), slice(rows // 2, rows)):
            found, wanted = mask[half], np.asarray(ours[m])[half]
            assert found.any(1).mean() == pytest.approx(wanted.any(1).mean(), abs=0.015), m
            assert found.mean() == pytest.approx(wanted.mean(), abs=0.015), m
    seen = np.stack([theirs[m].numpy().any(axis=1) for m in FRAMES])
    assert seen.any(axis=0).all()  # one frame at least
