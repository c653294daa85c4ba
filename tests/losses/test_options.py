"""The config sections of the losses: choices, ranges, and numbers that never compile anew."""

import dataclasses
import inspect
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax import losses
from fsrf_jax.losses import (
    DEPENDENCE,
    DIVERGENCES,
    DistillationOptions,
    HeterogeneousOptions,
    HomogeneousOptions,
    MeasureOptions,
    NoiseOptions,
    ReconstructionOptions,
    RedundancyOptions,
    Task,
    TaskOptions,
    distillation,
    heterogeneous,
    named_divergence,
    noise,
    supervised_contrastive,
)
from fsrf_jax.losses.task import ERRORS, PREDICTION
from fsrf_jax.options import check, merge, split

SECTIONS = {
    "distillation": DistillationOptions,
    "heterogeneous": HeterogeneousOptions,
    "homogeneous": HomogeneousOptions,
    "measures": MeasureOptions,
    "noise": NoiseOptions,
    "reconstruction": ReconstructionOptions,
    "redundancy": RedundancyOptions,
    "task": TaskOptions,
}
WEIGHTS = np.asarray(reference.example_batch().weights)


def choices(name):
    section, option = name.split(".")
    fields = {item.name: item for item in dataclasses.fields(SECTIONS[section])}
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


def test_every_section_is_exported():
    assert all(getattr(losses, section.__name__) is section for section in SECTIONS.values())


@pytest.mark.parametrize("divergence", sorted(DIVERGENCES))
def test_options_of_a_divergence_are_its_keywords_with_its_defaults(divergence):
    assert MeasureOptions().of(divergence) == keywords(DIVERGENCES[divergence])


# An option of each divergence, with another value.
OTHER = {
    "temperature": 0.5,
    "mmd_multiples": (1.0,),
    "cmd_moments": 3,
    "gaussian_floor": 0.1,
    "projections": 3,
    "blur": 1.0,
    "iterations": 1,
}


def test_every_option_of_the_measures_has_another_value_here():
    assert set(OTHER) == {item.name for item in dataclasses.fields(MeasureOptions)}


@pytest.mark.parametrize("option", sorted(OTHER))
def test_every_number_is_of_one_divergence(option):
    default, changed = MeasureOptions(), MeasureOptions(**{option: OTHER[option]})
    reached = [name for name in DIVERGENCES if default.of(name) != changed.of(name)]
    assert len(reached) == 1
    arrays = reference.codes_and_weights(0)
    value, other = (
        named_divergence(reached[0], options)(*arrays) for options in (default, changed)
    )
    assert not np.allclose(value, other, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_named_divergence(name):
    options = MeasureOptions(**OTHER)
    arrays = reference.codes_and_weights(0)
    expected = DIVERGENCES[name](*arrays, **options.of(name))
    np.testing.assert_array_equal(named_divergence(name, options)(*arrays), expected)


def test_options_of_contrastive_have_its_defaults():
    options = HeterogeneousOptions()
    assert keywords(supervised_contrastive) == {
        "temperature": options.temperature,
        "bandwidth": options.bandwidth,
    }


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_defaults_pass_and_equal_options_are_one_key(section):
    """So that jit compiles once for both."""
    check(SECTIONS[section]())
    assert SECTIONS[section]() == SECTIONS[section]()
    assert hash(SECTIONS[section]()) == hash(SECTIONS[section]())
    assert NoiseOptions(kind="uniform") != NoiseOptions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DistillationOptions(codes=()), "codes: found [], expected one or more, each once."),
        (
            DistillationOptions(codes=("fused", "fused")),
            "codes: found ['fused', 'fused'], expected one or more, each once.",
        ),
        (
            MeasureOptions(mmd_multiples=()),
            "mmd_multiples: found [], expected one or more numbers above 0.",
        ),
        (
            MeasureOptions(mmd_multiples=(1.0, 0.0)),
            "mmd_multiples: found [1.0, 0.0], expected one or more numbers above 0.",
        ),
        (
            MeasureOptions(mmd_multiples=(float("inf"),)),
            "mmd_multiples: found [inf], expected one or more numbers above 0.",
        ),
        (
            MeasureOptions(mmd_multiples=(float("nan"),)),
            "mmd_multiples: found [nan], expected one or more numbers above 0.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match="found") as error:
        check(options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        (HeterogeneousOptions, "temperature", 0.0),
        (HeterogeneousOptions, "bandwidth", -1.0),
        (NoiseOptions, "bound", 0.0),
        (NoiseOptions, "floor", -0.1),
        (DistillationOptions, "warmup", float("inf")),
        (DistillationOptions, "warmup", 1.5),
        (DistillationOptions, "warmup", -0.1),
        (DistillationOptions, "temperature", 0.0),
        (MeasureOptions, "temperature", float("nan")),
        (MeasureOptions, "cmd_moments", 9),
        (MeasureOptions, "gaussian_floor", 0.0),
        (MeasureOptions, "projections", 0),
        (MeasureOptions, "blur", 0.0),
        (MeasureOptions, "iterations", 0),
    ],
)
def test_numbers_out_of_range_are_refused(section, option, value):
    with pytest.raises(ValueError, match=f"^{option}: found {value!r}, expected a number"):
        check(section(**{option: value}))


VIEW = reference.example_view(width=1)
BOTH = tuple(reference.example_view(seed, width=3).prediction_bo for seed in (0, 1))
LABELS = np.asarray(reference.example_labels())
CODES = reference.codes_and_weights(0)


def of_measure(name):
    return lambda x, options: named_divergence(name, options)(x, *CODES[1:]), CODES[0]


# Every number: its section, another value, and a loss of an array and of the options.
NUMBERS = {
    "heterogeneous temperature": (
        HeterogeneousOptions,
        {"temperature": 0.4},
        lambda x, options: (
            heterogeneous.contrastive(
                x,
                LABELS[:, None],
                VIEW.available_mb * WEIGHTS,
                temperature=options.temperature,
                bandwidth=options.bandwidth,
            ).value
        ),
        VIEW.s_mbd,
    ),
    "noise bound": (
        NoiseOptions,
        {"bound": 0.7},
        lambda x, options: (
            noise.adversarial(
                x, LABELS, VIEW.available_mb * WEIGHTS, Task("l1"), bound=options.bound
            ).value
        ),
        VIEW.noise_mbo,
    ),
    "noise floor": (
        NoiseOptions,
        {"floor": 2.0},
        lambda x, options: noise.spread(x, VIEW.available_mb * WEIGHTS, floor=options.floor).value,
        VIEW.n_mbd,
    ),
    **{
        f"distillation temperature of {kind}": (
            DistillationOptions,
            {"temperature": 3.0},
            lambda x, options, kind=kind: (
                distillation.predictions(
                    x,
                    BOTH[1],
                    WEIGHTS,
                    WEIGHTS,
                    partial(Task(kind, 3).disagreement, temperature=options.temperature),
                ).value
            ),
            BOTH[0],
        )
        for kind in ("cross_entropy", "binary_cross_entropy")
    },
    "distillation warmup": (
        DistillationOptions,
        {"warmup": 0.5},
        lambda x, options: jnp.sum(x) * distillation.warm_up(jnp.float32(0.2), options.warmup),
        np.ones(3, np.float32),
    ),
    "measures temperature": (MeasureOptions, {"temperature": 0.5}, *of_measure("infonce")),
    "measures gaussian_floor": (
        MeasureOptions,
        {"gaussian_floor": 0.1},
        *of_measure("gaussian_kl"),
    ),
    "measures blur": (MeasureOptions, {"blur": 0.3}, *of_measure("sinkhorn")),
}
NUMBERS["heterogeneous bandwidth"] = (
    HeterogeneousOptions,
    {"bandwidth": 1.5},
    *NUMBERS["heterogeneous temperature"][2:],
)


def test_every_number_is_tried_as_an_array():
    every = {
        (section, item.name)
        for section in SECTIONS.values()
        for item in dataclasses.fields(section)
        if "number" in item.metadata
    }
    assert every == {
        (section, option) for section, changes, *_ in NUMBERS.values() for option in changes
    }
    assert len(every) == 9


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_numbers_may_be_arrays_and_never_compile_anew(name):
    """One program for two values, alone or side by side; each gives what the Python number does."""
    section, changes, loss, x = NUMBERS[name]
    traced = []

    def run(x, static, hyper):
        traced.append(static)
        return jax.value_and_grad(loss)(x, merge(static, hyper))

    compiled = jax.jit(run, static_argnums=1, compiler_options=reference.QUICK)
    members, expected = (section(), section(**changes)), []
    for options in members:
        static, hyper = split(options)
        value, gradient = compiled(x, static, hyper)
        value_of_number, gradient_of_number = jax.jit(
            jax.value_and_grad(partial(loss)), static_argnums=1
        )(x, options)
        np.testing.assert_allclose(value, value_of_number, rtol=1e-5)
        np.testing.assert_allclose(gradient, gradient_of_number, rtol=1e-4, atol=1e-6)
        expected.append(value)
    assert len(traced) == 1
    assert not np.allclose(*expected, rtol=1e-3)

    population = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(split(m)[1] for m in members))
    together = jax.jit(jax.vmap(run, in_axes=(None, None, 0)), static_argnums=1)
    values, _ = together(x, split(members[0])[0], population)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
