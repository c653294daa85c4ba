"""Every choice that the config offers for the losses, the network and the missingness trains."""

import dataclasses
import json
import math
import typing

import pytest
from command_case import TINY, call, read_arrays, read_json, read_lines

from fsrf_jax.config import Config
from fsrf_jax.evaluation.metrics.calibration import gaussian_calibration
from fsrf_jax.losses import DIVERGENCES

CUTS = {"data.cuts": [-1.0, 1.0]}
# Each row is a run with the built-in data; together they make every choice once.
ROWS = [
    {
        "task.kind": "mse",
        "method.homogeneous.divergence": "mse",
        "method.weights.feature_distillation": {"cmd": 0.1, "mse": 0.1},
        "method.heterogeneous.kind": "task_alone",
        "method.noise.kind": "uniform",
        "method.redundancy.dependence": "hsic",
        "method.reconstruction.target": "view",
        "method.distillation.direction": "to_less_complete",
        "method.distillation.prediction": "squared",
        "model.pool": "last",
        "missing.pattern": "block",
    },
    {
        "task.kind": "huber",
        "method.homogeneous.divergence": "cmd",
        "method.weights.feature_distillation": {"coral": 0.1, "mmd": 0.1},
        "method.heterogeneous.kind": "modality",
        "method.noise.kind": "bottleneck",
        "method.redundancy.dependence": "orthogonality",
        "method.reconstruction.target": "complete",
        "method.complete_view": True,
        "method.distillation.weigh_teacher": True,
        "model.pool": "attention",
        "model.missing_frame": "learned",
        "model.precision": "bfloat16",
        "model.recompute": True,
    },
    {
        "task.kind": "gaussian",
        "method.homogeneous.divergence": "coral",
        "method.weights.feature_distillation": {"cosine": 0.1},
        "method.heterogeneous.kind": "contrastive",
        "method.noise.kind": "dependence",
        "method.noise.dependence": "hsic",
        "method.redundancy.dependence": "cosine_squared",
        "method.reconstruction.crossed": True,
        "method.distillation.prediction": "gaussian_kl",
        "method.distillation.warmup": 0.75,
        "model.pool": "cls",
        "model.encoder_layers": 1,
        "model.mask_aware": False,
    },
    {
        **CUTS,
        "task.kind": "cross_entropy",
        "method.homogeneous.divergence": "cosine",
        "method.weights.feature_distillation": {"gaussian_kl": 0.1},
        "method.heterogeneous.kind": "contrastive",
        "method.noise.kind": "uniform",
        "method.distillation.prediction": "kl",
        "method.distillation.temperature": 2.0,
        "model.fusion": "concatenation",
        "missing.fixed_rate": True,
        "missing.max_rate": 0.5,
        "evaluation.protocol": "tfrnet",
    },
    {
        **CUTS,
        "data.tasks": ["up", "far_up"],
        "task.kind": "binary_cross_entropy",
        "task.class_weights": "balanced",
        "method.homogeneous.divergence": "gaussian_kl",
        "method.weights.feature_distillation": {"infonce": 0.1},
        "method.noise.kind": "uniform",
        "method.distillation.codes": ["fused"],
        "missing.shared_rate": True,
        "missing.modality_rate": 0.0,
        "missing.whole_share": 0.5,
        "evaluation.protocol": "lnln",
    },
    {
        **CUTS,
        "task.kind": "cross_entropy",
        "method.homogeneous.divergence": "js",
        "method.weights.feature_distillation": {"js": 0.1},
        "method.noise.kind": "dependence",
        "method.noise.dependence": "cross_correlation",
        "method.reconstruction.target": "complete",
        "method.reconstruction.crossed": True,
        "method.complete_view": True,
        "method.distillation.codes": ["homogeneous", "heterogeneous"],
    },
    {
        **CUTS,
        "task.kind": "binary_cross_entropy",
        "task.class_weights": "balanced",
        "method.homogeneous.divergence": "sinkhorn",
        "method.weights.feature_distillation": {"sinkhorn": 0.1, "sliced_wasserstein": 0.1},
        "method.noise.kind": "dependence",
        "method.noise.dependence": "orthogonality",
        "missing.subset_weights": {"language": 1.0, "audio+vision": 2.0},
    },
    {
        "method.homogeneous.divergence": "sliced_wasserstein",
        "method.weights.feature_distillation": {},
        "method.distillation.direction": "off",
        "evaluation.protocol": "cmad",
    },
    {
        "method.homogeneous.divergence": "mmd",
        "missing.modality_rate": 0.4,
        "evaluation.protocol": "gcnet",
    },
    {
        "method.homogeneous.divergence": "mmd",
        "method.redundancy.held": "none",
    },
]


def choices():
    """Every (key, choice) that the types of the sections name."""
    for section in ("task", "method", "model", "missing"):
        yield from section_choices(getattr(Config(), section), f"{section}.")
    yield from (("method.weights.feature_distillation", name) for name in DIVERGENCES)


def section_choices(options, prefix):
    types = typing.get_type_hints(type(options))
    for item in dataclasses.fields(options):
        value, kind = getattr(options, item.name), types[item.name]
        if dataclasses.is_dataclass(value):
            yield from section_choices(value, f"{prefix}{item.name}.")
        elif kind is bool:
            yield from ((f"{prefix}{item.name}", choice) for choice in (False, True))
        elif typing.get_origin(kind) is typing.Literal:
            yield from ((f"{prefix}{item.name}", choice) for choice in typing.get_args(kind))


def chosen(row):
    for key, value in row.items():
        if isinstance(value, dict):
            yield from ((key, name) for name in value)
        elif not isinstance(value, list):
            yield key, value


def test_the_rows_make_every_choice():
    defaults = {
        (key, value)
        for key, value in choices()
        if key != "method.weights.feature_distillation" and default(key) == value
    }
    made = {pair for row in ROWS for pair in chosen(row)}
    assert set(choices()) - made - defaults == set()


def default(key):
    value = Config()
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(
    "row",
    # Each is a program of its own: the later ones by `-m slow`.
    [pytest.param(row, marks=pytest.mark.slow if i > 2 else ()) for i, row in enumerate(ROWS)],
    ids=range(len(ROWS)),
)
def test_the_choices_train_and_evaluate(row, tmp_path):
    argv = [
        f"--{key}={json.dumps(value) if not isinstance(value, str) else value}"
        for key, value in row.items()
    ]
    done = call("train", *TINY, *argv, "--output.directory", tmp_path / "run")
    assert done.status == 0, done.err
    first, last = read_lines(tmp_path / "run" / "metrics.jsonl")
    counts = {"epoch", "best_epoch", "bad_steps", "validation_error", "gradient_norm"}
    terms = set(first) - counts
    assert (first["bad_steps"], last["bad_steps"]) == (0, 0)
    weighted = row.get("method.weights.feature_distillation", {"mmd": 0.1, "mse": 0.1})
    names = {name for name in terms if name.startswith("feature_distillation.")}
    assert names == {f"feature_distillation.{name}" for name in weighted}
    assert last["total"] != first["total"]
    assert all(math.isfinite(value) for value in last.values())
    if row.get("method.distillation.direction") == "off":
        assert last["prediction_distillation"] == 0
    else:
        # Nothing is switched off by accident: every term is there.
        assert all(last[name] != 0 for name in terms), last
    results = read_json(tmp_path / "run" / "results.json")
    assert results["epochs_trained"] == 2
    assert results["protocol"] == row.get("evaluation.protocol", "corrkd")
    forms = {"cross_entropy": "class", "binary_cross_entropy": "binary"}
    kind = row.get("task.kind")
    assert results["form"] == forms.get(kind, "number")
    assert results["metrics"] == forms.get(kind, "mosi")
    says_how_sure(results, kind, read_arrays(tmp_path / "run" / "predictions.npz"))
    if "data.tasks" in row:
        assert results["tasks"] == ["up", "far_up"]
        assert "f1_far_up" in results["conditions"][0]["metrics"]


def says_how_sure(results, kind, arrays):
    """Assert that there is a calibration where, and only where, predictions carry one."""
    for entry in results["conditions"]:
        keys = set(entry.get("calibration", {}))
        expected = {
            "gaussian": {"nll", "ece", "sharpness", *(f"coverage{q}" for q in (50, 80, 90, 95))},
            "cross_entropy": {"ece", "confidence"},
            "binary_cross_entropy": {"ece", "confidence"},
        }
        assert keys == expected.get(kind, set())
    assert ("log_variances" in arrays) == (kind == "gaussian")
    if kind == "gaussian":
        assert arrays["log_variances"].shape == arrays["predictions"].shape == (17, 3, 24)
        of_seeds = [
            gaussian_calibration(p, v, arrays["labels"])["nll"]
            for p, v in zip(arrays["predictions"][9], arrays["log_variances"][9], strict=True)
        ]
        nll = results["conditions"][9]["calibration"]["nll"]
        assert math.isclose(nll, sum(of_seeds) / 3, rel_tol=1e-9)
