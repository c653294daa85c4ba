import dataclasses
import inspect
from typing import get_args

import losses_reference as reference
import pytest

from fsrf_jax.errors import ConfigError
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.distillation import PREDICTION
from fsrf_jax.losses.divergences import DIVERGENCES
from fsrf_jax.losses.heterogeneous import supervised_contrastive
from fsrf_jax.losses.options import (
    HeterogeneousOptions,
    LossOptions,
    MeasureOptions,
    TaskOptions,
    check_losses,
)
from fsrf_jax.losses.task import ERRORS, FORMS
from fsrf_jax.ranges import check_ranges


def choices(name):
    section, option = name.split(".")
    fields = {item.name: item for item in dataclasses.fields(getattr(LossOptions(), section))}
    return set(get_args(fields[option].type))


def keywords(function):
    """Keyword options of a function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("task.kind", ERRORS),
        ("homogeneous.divergence", DIVERGENCES),
        ("redundancy.dependence", DEPENDENCE),
        ("distillation.prediction", {"auto", *PREDICTION}),
        # Code and label differ in width, so a cosine of the two has no meaning.
        ("noise.dependence", set(DEPENDENCE) - {"cosine_squared"}),
    ],
)
def test_every_name_in_a_registry_is_a_choice(name, registry):
    assert choices(name) == set(registry)


@pytest.mark.parametrize("divergence", sorted(DIVERGENCES))
def test_options_of_a_divergence_are_its_keywords_with_its_defaults(divergence):
    assert MeasureOptions().of(divergence) == keywords(DIVERGENCES[divergence])


@pytest.mark.parametrize("option", [item.name for item in dataclasses.fields(MeasureOptions)])
def test_every_number_is_of_one_divergence(option):
    other = (1.0,) if option == "mmd_multiples" else 2
    default, changed = MeasureOptions(), MeasureOptions(**{option: other})
    assert sum(default.of(name) != changed.of(name) for name in DIVERGENCES) == 1


def test_options_of_contrastive_have_its_defaults():
    options = HeterogeneousOptions()
    assert keywords(supervised_contrastive) == {
        "temperature": options.temperature,
        "bandwidth": options.bandwidth,
    }


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_form_of_the_labels(kind):
    assert TaskOptions(kind).form == FORMS[kind]


def test_equal_options_are_one_key():
    """So that jit compiles once for both."""
    options = reference.options_with({"noise.kind": "uniform"})
    assert hash(options) == hash(reference.options_with({"noise.kind": "uniform"}))
    assert options == reference.options_with({"noise.kind": "uniform"}) != LossOptions()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation.codes": ()}, "losses.distillation.codes: found [], expected one or more"),
        (
            {"distillation.codes": ("fused", "fused")},
            "losses.distillation.codes: found ['fused', 'fused'], expected one or more, each once.",
        ),
        ({"measures.mmd_multiples": ()}, "losses.measures.mmd_multiples: found []"),
        ({"measures.mmd_multiples": (1.0, 0.0)}, "found [1.0, 0.0], expected one or more numbers"),
        ({"measures.mmd_multiples": (float("inf"),)}, "found [inf], expected"),
        ({"measures.mmd_multiples": (float("nan"),)}, "found [nan], expected"),
        (
            {"distillation.prediction": "kl"},
            "losses.distillation.prediction: found 'kl', expected auto, or one that fits "
            "losses.task.kind l1.",
        ),
        ({"distillation.prediction": "gaussian_kl", "task.kind": "mse"}, "found 'gaussian_kl'"),
        ({"distillation.prediction": "squared", "task.kind": "cross_entropy"}, "found 'squared'"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError) as error:
        check_losses(reference.options_with(changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "prediction"),
    [
        ("l1", "squared"),
        ("gaussian", "squared"),
        ("gaussian", "gaussian_kl"),
        ("cross_entropy", "kl"),
        ("binary_cross_entropy", "kl"),
        *((kind, "auto") for kind in sorted(ERRORS)),
    ],
)
def test_predictions_that_fit_the_task(kind, prediction):
    changes = {"task.kind": kind, "distillation.prediction": prediction}
    check_losses(reference.options_with(changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heterogeneous.temperature", 0.0),
        ("heterogeneous.bandwidth", -1.0),
        ("noise.bound", 0.0),
        ("noise.floor", -0.1),
        ("distillation.warmup", float("inf")),
        ("distillation.temperature", 0.0),
        ("measures.temperature", float("nan")),
        ("measures.cmd_moments", 9),
        ("measures.gaussian_floor", 0.0),
        ("measures.projections", 0),
        ("measures.blur", 0.0),
        ("measures.iterations", 0),
    ],
)
def test_numbers_out_of_range_are_refused(name, value):
    check_ranges(LossOptions())
    with pytest.raises(ConfigError, match=f"^losses.{name}: found {value!r}, expected a number"):
        check_ranges(reference.options_with({name: value}), "losses.")
