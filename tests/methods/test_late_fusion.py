"""Late fusion: the mean of what the available modalities' predictors say."""

import jax
import jax.numpy as jnp
import methods_case as case
import numpy as np
import pytest

from fsrf_jax.methods import LateFusion, Setting
from fsrf_jax.methods.late_fusion import Network
from fsrf_jax.models.layers import Perceptron
from fsrf_jax.types import View

reference = case.reference
METHOD = LateFusion()


@pytest.fixture(scope="module", params=["l1", "cross_entropy"])
def example(request):
    setting = Setting(case.task_of(request.param), case.MODEL)
    batch = reference.example_batch(form=setting.task.form)
    parameters = case.parameters_of(METHOD, setting, batch)
    return setting, batch, parameters, case.example_views(batch, METHOD)


def raw_of(setting, parameters, batch, view):
    network = Network(setting)
    variables = {"params": parameters["inference"]}
    found = network.apply(variables, View(batch.features, batch.valid, view), train=False)
    return found.pooled, np.asarray(found.available), np.asarray(found.raw[0])


def heads(setting, parameters, pooled):
    """What each modality's predictor makes of its code, one by one, [m, b, o]."""
    head = Perceptron(setting.model.width, setting.task.head_width)
    said = []
    for i, z_bd in enumerate(pooled):
        own = jax.tree.map(lambda x, i=i: x[i], parameters["inference"]["heads"])
        said.append(head.apply({"params": own}, z_bd, train=False))
    return np.stack(said)


def test_the_raw_output_is_the_mean_over_what_is_available(example):
    setting, batch, parameters, views = example
    assert views[0].keys() == batch.valid.keys()
    for view in views:
        pooled, available, raw = raw_of(setting, parameters, batch, view)
        said = heads(setting, parameters, pooled)
        for b in range(len(raw)):
            here = available[:, b] > 0
            expected = said[here, b].mean(0) if here.any() else said[:, b].mean(0)
            np.testing.assert_allclose(raw[b], expected, rtol=1e-5, atol=1e-6)
    _, available, _ = raw_of(setting, parameters, batch, views[0])
    assert set(available.sum(axis=0)) == {0, 1, 2, 3}


def test_where_nothing_is_observed_all_heads_speak_of_a_zero_code(example):
    setting, batch, parameters, _ = example
    nothing = {m: jnp.zeros_like(v) for m, v in batch.valid.items()}
    pooled, _, raw = raw_of(setting, parameters, batch, nothing)
    assert not np.any(pooled)
    np.testing.assert_allclose(raw, heads(setting, parameters, pooled).mean(0), rtol=1e-5)


def test_the_loss_is_the_task_and_nothing_else(example):
    setting, batch, parameters, views = example
    terms = METHOD.loss(setting, parameters, None, case.step_of(batch, views))
    assert set(terms) == {"task"}
    assert METHOD.term_weights(case.PROGRESS) == {}
    of_views = [
        reference.mean(
            reference.task_errors(
                raw_of(setting, parameters, batch, view)[2].astype(np.float64),
                np.asarray(batch.labels, np.float64),
                setting.task.form,
            ),
            np.asarray(batch.weights),
        )
        for view in views
    ]
    np.testing.assert_allclose(terms["task"], np.mean(of_views), rtol=1e-5)


def test_it_has_encodings_and_no_other_code(example):
    setting, batch, parameters, views = example
    view = View(batch.features, batch.valid, views[0])
    codes = METHOD.codes(setting, parameters["inference"], view)
    has = {name: getattr(codes, name) for name in ("homogeneous", "heterogeneous", "noise")}
    assert all(code is None for code in has.values())
    assert codes.fused is None
    assert codes.pooled.shape == (3, len(batch.labels), setting.model.width)


def test_nobody_teaches_it():
    assert METHOD.teacher_method() is None
    assert METHOD.views == 2
