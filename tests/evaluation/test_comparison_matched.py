"""Each variant under the condition of its own name."""

import re

import numpy as np
import pytest
from evaluation_case import MODALITIES, ablation_text, evaluated

from fsrf_jax.evaluation.ablation_table import ablation_table, match
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.protocols.averages import weights_of
from fsrf_jax.evaluation.protocols.files import describe
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.reporting.ablation_plot import save_ablation_plot

NAMES = ("mae", "acc2_non0")
ALL = ("mae", "corr", "acc2_non0", "f1_non0", "acc2_has0", "f1_has0", "acc5", "acc7")


def results(protocol, seed):
    """Made-up figures, other ones for every condition."""
    rng = np.random.default_rng(seed)
    conditions = [
        {
            "name": c.name,
            "metrics": dict(zip(ALL, rng.random(8).tolist(), strict=True)),
            "floor": dict.fromkeys(ALL, 0.1),
            "missing": {"frames": 0.5, "modalities": None},
            "collapse": {"sanity": False, "collapsed": False},
        }
        for c in protocol.conditions
    ]
    row = {key: conditions[0][key] for key in ("metrics", "floor", "missing")}
    shown = {**row, "weights": {c.name: 0.1 for c in protocol.conditions}}
    return {
        **{"protocol": protocol.name, "split": "test", "form": "number", "mask_seeds": [0]},
        **{"metrics": "mosi", "tasks": []},
        **{"masks_digest": "0", "n": 4, "n_non0": 4, "data_fingerprint": "1"},
        **{"unit": "sample", "resamples": 0, "training_seed": int(np.ravel(seed)[0])},
        "average_rule": protocol.average_rule,
        "protocol_description": describe(protocol),
        "conditions": conditions,
        "average": {**row, "weights": weights_of(protocol), "all_conditions": shown},
    }


def runs(name, variants=None):
    protocol = PROTOCOLS[name](MODALITIES)
    variants = variants or [condition.name for condition in protocol.conditions]
    return {
        variant: {seed: results(protocol, [seed, index]) for seed in (0, 1, 2)}
        for index, variant in enumerate(variants)
    }


def methods_of(table):
    return {
        name: [evaluated(found) for found in by_seed.values()] for name, by_seed in table.items()
    }


def own(table, variant, metric):
    return [
        next(e for e in table[variant][seed]["conditions"] if e["name"] == variant)["metrics"][
            metric
        ]
        for seed in (0, 1, 2)
    ]


def test_a_variant_counts_under_its_own_condition_alone():
    table = runs("tfrnet")
    matched = match(methods_of(table))
    assert list(matched["conditions"]) == list(table)
    for variant, cells in matched["conditions"].items():
        for metric in NAMES:
            figures = own(table, variant, metric)
            assert cells[metric]["mean"] == pytest.approx(np.mean(figures))
            assert cells[metric]["std"] == pytest.approx(np.std(figures, ddof=1))


def test_the_average_is_that_of_the_protocol_seed_by_seed():
    table = runs("tfrnet")
    lines = np.array([own(table, variant, "mae") for variant in table])
    areas = np.trapezoid(lines, dx=0.1, axis=0)
    found = match(methods_of(table))["average"]["mae"]
    assert found["mean"] == pytest.approx(np.mean(areas))
    assert found["std"] == pytest.approx(np.std(areas, ddof=1))


def test_without_all_conditions_there_is_no_average():
    assert match(methods_of(runs("tfrnet", ["rate=0.0", "rate=0.3"])))["average"] is None
    assert match(methods_of(runs("gcnet", ["mr=0.0", "mr=0.1"])))["average"] is None


def test_variants_of_other_names_are_not_matched():
    table = runs("tfrnet", ["rate=0.0", "full"])
    assert match(methods_of(table)) is None
    assert "its own condition" not in ablation_text(methods_of(table))


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("lnln", ["average", "all conditions"]),
        ("tfrnet", ["area", "all conditions"]),
        ("gcnet", ["all conditions"]),
    ],
)
def test_a_protocol_without_an_average_has_no_such_table(tmp_path, name, titles):
    methods = methods_of(runs(name, ["a", "b"]))
    comparison = ablation_table(methods, compare_methods(methods, 0))
    text = ablation_text(methods)
    assert re.findall(r"^\*\*Acc2, (.*): differences to a\*\*$", text, re.M) == titles
    save_ablation_plot(tmp_path / "x.png", comparison)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_stands_in_the_comparison():
    table = runs("tfrnet")
    methods = methods_of(table)
    comparison = ablation_table(methods, compare_methods(methods, 0))
    assert comparison["matched"] == match(methods_of(table))
    text = ablation_text(methods).partition("**Each variant under its own condition")[2]
    cell = comparison["matched"]["conditions"]["rate=0.3"]["mae"]
    assert f"|{cell['mean']:.3f} ± {cell['std']:.3f}|" in next(
        line for line in text.splitlines() if line.startswith("|rate=0.3|")
    )
    assert "|**area**|" in text
