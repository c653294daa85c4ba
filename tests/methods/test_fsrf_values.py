"""The value of every term of `Fsrf.loss`, for every option, against float64."""

import dataclasses
from typing import get_args, get_type_hints

import jax
import methods_case as case
import numpy as np
import pytest

from fsrf_jax.losses import DIVERGENCES
from fsrf_jax.methods import Fsrf
from fsrf_jax.options import split

DISTILLATION = ("feature_distillation.mmd", "feature_distillation.mse", "prediction_distillation")

# Options that reach different terms are changed together, as each group is a program to compile.
GROUPS = {
    "defaults": ("l1", {}),
    "squared": (
        "mse",
        {
            "homogeneous.divergence": "mse",
            "heterogeneous.kind": "task_alone",
            "noise.kind": "bottleneck",
            "redundancy.dependence": "hsic",
            "reconstruction.target": "view",
            "distillation.direction": "to_less_complete",
        },
    ),
    "huber": (
        "huber",
        {
            "homogeneous.divergence": "cosine",
            "heterogeneous.kind": "modality",
            "noise.kind": "uniform",
            "redundancy.dependence": "cosine_squared",
            "reconstruction.crossed": True,
            "distillation.weigh_teacher": True,
        },
    ),
    "gaussian": (
        "gaussian",
        {
            "complete_view": True,
            "homogeneous.divergence": "js",
            "heterogeneous.kind": "contrastive",
            "noise.kind": "dependence",
            "redundancy.dependence": "orthogonality",
            "reconstruction.target": "complete",
            "distillation.codes": ("fused",),
            "distillation.prediction": "gaussian_kl",
        },
    ),
    "classes": (
        "cross_entropy",
        {
            "homogeneous.divergence": "cmd",
            "redundancy.held": "none",
            "reconstruction.target": "view",
            "reconstruction.crossed": True,
            "distillation.codes": ("homogeneous",),
            "distillation.prediction": "kl",
            "distillation.temperature": 2.0,
        },
    ),
    "binary tasks": (
        "binary_cross_entropy",
        {
            "complete_view": True,
            "homogeneous.divergence": "coral",
            "heterogeneous.kind": "contrastive",
            "noise.kind": "uniform",
            "reconstruction.target": "complete",
            "reconstruction.crossed": True,
            "distillation.direction": "to_less_complete",
            "distillation.weigh_teacher": True,
            "distillation.codes": ("heterogeneous",),
            "distillation.temperature": 2.0,
        },
    ),
    "nobody teaches": (
        "cross_entropy",
        {
            "homogeneous.divergence": "gaussian_kl",
            "heterogeneous.kind": "contrastive",
            "heterogeneous.temperature": 0.5,
            "heterogeneous.bandwidth": 1.0,
            "noise.kind": "uniform",
            "distillation.direction": "off",
            "distillation.temperature": 2.0,
        },
    ),
    "adversary of binary tasks": (
        "binary_cross_entropy",
        {
            "complete_view": True,
            "homogeneous.divergence": "mmd",
            "distillation.codes": ("homogeneous", "fused"),
            "distillation.temperature": 2.0,
        },
    ),
    "heads of a gaussian": (
        "gaussian",
        {
            "homogeneous.divergence": "sinkhorn",
            "measures.blur": 0.5,
            "measures.iterations": 200,
            "noise.bound": 0.5,
            "noise.floor": 2.0,
            "distillation.prediction": "squared",
        },
    ),
    "dependence on classes": (
        "cross_entropy",
        {
            "homogeneous.divergence": "sliced_wasserstein",
            "noise.kind": "dependence",
            "noise.dependence": "cross_correlation",
            "distillation.temperature": 2.0,
        },
    ),
    "every divergence": (
        "binary_cross_entropy",
        {
            "weights.feature_distillation": dict.fromkeys(sorted(DIVERGENCES), 1.0),
            "noise.kind": "dependence",
            "noise.dependence": "orthogonality",
            "distillation.temperature": 2.0,
            "measures.temperature": 0.5,
            "measures.mmd_multiples": (1.0,),
            "measures.cmd_moments": 3,
            "measures.gaussian_floor": 0.1,
            "measures.projections": 3,
            "measures.blur": 0.5,
            "measures.iterations": 200,
        },
    ),
    "no divergence": (
        "l1",
        {"weights.feature_distillation": {}, "noise.kind": "uniform", "noise.bound": 0.5},
    ),
}


# Each group compiles a program of its own. What these hold is also in others, or in tests/losses.
SLOW = ("adversary of binary tasks", "dependence on classes", "huber", "nobody teaches", "squared")


@pytest.mark.parametrize(
    "group", [pytest.param(g, marks=[pytest.mark.slow] if g in SLOW else []) for g in GROUPS]
)
def test_every_term_against_float64(group):
    method, setting, parameters, batch, views = case.case_of(*GROUPS[group])
    terms, factors = case.evaluate(method, setting, parameters, batch, views)
    expected = case.expected_terms(
        method, setting.task, parameters["training"], factors, batch, views
    )
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=2e-4, atol=1e-6, err_msg=name)
    silent = {name for name in terms if terms[name] == 0}
    off = method.distillation.direction == "off"
    assert silent == (set(DISTILLATION) if off else set())


def choices(options, prefix=""):
    """Every name of a fixed set, and every switch, that an option may be."""
    hints = get_type_hints(type(options))
    for item in dataclasses.fields(options):
        value, name = getattr(options, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from choices(value, f"{name}.")
        elif hints[item.name] is bool:
            yield from ((name, switch) for switch in (False, True))
        elif isinstance(value, str):
            yield from ((name, choice) for choice in get_args(hints[item.name]))


def test_every_choice_of_every_option_is_in_a_group():
    usual = dict(choices(Fsrf()))
    default = {name: _at(Fsrf(), name) for name in usual}
    tried = {
        (n, v)
        for _, changes in GROUPS.values()
        for n, v in (default | changes).items()
        if n in default
    }
    assert set(choices(Fsrf())) <= tried | {("name", "fsrf")}
    kinds = {kind for kind, _ in GROUPS.values()}
    assert kinds == set(get_args(get_type_hints(case.Task)["kind"]))
    numbers = {name for _, changes in GROUPS.values() for name in changes} | set(NUMBERS)
    fixed = {
        f"{s.name}.{o.name}"
        for s in dataclasses.fields(Fsrf)
        if dataclasses.is_dataclass(getattr(Fsrf(), s.name)) and s.name != "weights"
        for o in dataclasses.fields(getattr(Fsrf(), s.name))
    }
    assert fixed <= numbers


def _at(options, name):
    for part in name.split("."):
        options = getattr(options, part)
    return options


# Each number that never compiles anew: another value, the group where it counts, and its terms.
OTHER = (
    "cross_entropy",
    {
        "heterogeneous.kind": "contrastive",
        "weights.feature_distillation": {"gaussian_kl": 1.0, "sinkhorn": 1.0},
    },
)
NUMBERS = {
    "noise.bound": (0.5, ("l1", {}), {"noise"}),
    "noise.floor": (2.0, ("l1", {}), {"variance_floor"}),
    "measures.temperature": (0.5, ("l1", {}), {"homogeneous"}),
    "distillation.warmup": (0.9, ("l1", {}), set()),
    "heterogeneous.temperature": (0.5, OTHER, {"heterogeneous"}),
    "heterogeneous.bandwidth": (1.0, OTHER, {"heterogeneous"}),
    "measures.gaussian_floor": (0.1, OTHER, {"feature_distillation.gaussian_kl"}),
    "measures.blur": (1.0, OTHER, {"feature_distillation.sinkhorn"}),
    "distillation.temperature": (4.0, OTHER, {"prediction_distillation"}),
}
traced = []


@pytest.fixture(scope="module")
def compiled():
    """The loss as a program of its numbers; counts how often it is traced."""
    count = []

    def loss(static, setting, hyper, *rest):
        count.append(static)
        return case.merge(static, hyper).loss(setting, *rest[:2], case.Step(*rest[2:]))

    return jax.jit(loss, static_argnums=(0, 1), compiler_options=case.reference.QUICK), count


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_reaches_its_terms_and_no_other_and_never_compiles_anew(number, compiled):
    value, (kind, changes), reached = NUMBERS[number]
    run, count = compiled
    found = []
    for options in (changes, changes | {number: value}):
        method, setting, parameters, batch, views = case.case_of(kind, options)
        static, hyper = split(method)
        args = parameters, None, batch, views, case.PROGRESS, case.KEY
        found.append(jax.device_get(run(static, setting, hyper, *args)))
        assert len(count) == len(set(count)) <= 2  # one program for each group
    default, other = found
    assert {n for n in default if not np.allclose(default[n], other[n], rtol=1e-4)} == reached
    same = default.keys() - reached
    assert all(default[name] == other[name] for name in same)


def test_every_number_is_among_them():
    numbers = {name for name in split(Fsrf())[1] if not name.startswith("weights.")}
    assert numbers == set(NUMBERS)


def test_the_head_of_task_reads_both_codes_and_that_of_task_alone_one():
    width = case.MODEL.width
    for kind, read in (("task", 2 * width), ("task_alone", width)):
        parameters = case.case_of("l1", {"heterogeneous.kind": kind})[2]
        kernel = parameters["training"]["heterogeneous"]["Dense_0"]["kernel"]
        assert kernel.shape == (3, read, width)


HEADS = {
    "heterogeneous.kind": {
        "task": {"heterogeneous"},
        "task_alone": {"heterogeneous"},
        "modality": {"modality"},
        "contrastive": set(),
    },
    "noise.kind": {
        "adversarial": {"adversary"},
        "uniform": {"adversary"},
        "bottleneck": set(),
        "dependence": set(),
    },
}


@pytest.mark.parametrize("option", HEADS)
@pytest.mark.parametrize("kind", ["l1", "gaussian", "cross_entropy"])
def test_heads_are_those_that_some_term_asks_for(option, kind):
    decoders = {f"decoder_{m}" for m in case.NAMES}
    other = {"heterogeneous.kind": "noise.kind", "noise.kind": "heterogeneous.kind"}[option]
    setting = case.Setting(case.task_of(kind), case.MODEL)
    batch = case.reference.example_batch(form=setting.task.form)
    for chosen, heads in HEADS[option].items():
        none = {"noise.kind": "bottleneck", "heterogeneous.kind": "contrastive"}[other]
        method = case.method_with({option: chosen, other: none})
        training = case.shapes_of(method, setting, batch)["training"]
        assert set(training) == heads | decoders
        for name in heads - {"modality"}:
            assert training[name]["Dense_1"]["bias"].shape == (3, setting.task.head_width)
        for name in heads & {"modality"}:
            assert training[name]["Dense_1"]["bias"].shape == (3,)


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("target", ["frames", "view", "complete"])
def test_decoders_are_as_wide_as_what_they_read_and_give_back(target, crossed):
    changes = {"reconstruction.target": target, "reconstruction.crossed": crossed}
    method = case.method_with(changes | {"complete_view": True})
    setting = case.Setting(case.task_of("l1"), case.MODEL)
    training = case.shapes_of(method, setting, case.reference.example_batch())["training"]
    width = case.MODEL.width
    for m, features in case.reference.FEATURES.items():
        decoder = training[f"decoder_{m}"]
        assert decoder["Dense_0"]["kernel"].shape == ((2 if crossed else 3) * width, width)
        given = features if target == "frames" else width
        assert decoder["Dense_1"]["kernel"].shape == (width, given)


CHOICES = [
    (),
    ("mmd",),
    *((name, "mse") for name in sorted(DIVERGENCES)),
    tuple(sorted(DIVERGENCES)),
]


@pytest.mark.parametrize("divergences", CHOICES, ids="+".join)
def test_weights_and_terms_have_the_same_names(divergences):
    weights = dict.fromkeys(divergences, 0.1)
    method, setting, *rest = case.case_of("l1", {"weights.feature_distillation": weights})
    parameters, batch, views = rest
    terms = jax.eval_shape(
        lambda: method.loss(
            setting, parameters, None, case.Step(batch, views, case.PROGRESS, case.KEY)
        )
    )
    of_weights = method.term_weights(case.PROGRESS)
    assert set(terms) == {"task", *of_weights}
    names = {n for n in of_weights if n.startswith("feature_distillation")}
    assert names == {f"feature_distillation.{name}" for name in divergences}
    assert len(of_weights) == 7 + len(names)
    assert all(term.shape == () and term.dtype == np.float32 for term in terms.values())
