"""The presets of the built-in data: that they load, train, and are what they are named after."""

import re
from functools import cache

import jax
import numpy as np
import pytest
import yaml
from command_case import ROOT, TINY, call, read_json

from fsrf_jax import arguments
from fsrf_jax.data import synthetic
from fsrf_jax.data.dataset import Split
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.probes.inputs import latents_of
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import Condition, Protocol
from fsrf_jax.missing import draw_uniforms, observe

DEMO = ROOT / "configs" / "demo.yaml"
PRESETS = {path.stem: path for path in sorted((ROOT / "configs" / "worlds").glob("*.yaml"))}
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8").partition("### Built-in worlds")[2]
MODALITIES = ("language", "audio", "vision")
WITHOUT_LANGUAGE, WITHOUT_AUDIO, WITHOUT_VISION = (
    tuple(m for m in MODALITIES if m != name) for name in MODALITIES
)
CONDITIONS = {
    "all": Condition("all", MODALITIES, 0.0),
    "audio+vision": Condition("audio+vision", WITHOUT_LANGUAGE, 0.0),
    "language+vision": Condition("language+vision", WITHOUT_AUDIO, 0.0),
    "language+audio": Condition("language+audio", WITHOUT_VISION, 0.0),
    "rate=0.5": Condition("rate=0.5", MODALITIES, 0.5),
}


def config_of(name):
    return arguments.load([DEMO, *([PRESETS[name]] if name in PRESETS else [])])


def options_of(name):
    return config_of(name).data.synthetic


@cache
def drawn(options, count) -> tuple[synthetic.World, Split]:
    world = synthetic.make_world(options, MODALITIES)
    return world, synthetic.sample(world, "test", count)[0]


def bayes(name, count=600) -> dict[str, Metrics]:
    """The optimum on the first test samples, by condition."""
    options = options_of(name)
    return of_options(options, count)


@cache
def of_options(options, count) -> dict[str, Metrics]:
    world, split = drawn(options, count)
    protocol = Protocol("some", tuple(CONDITIONS.values()), "", tuple(CONDITIONS))
    oracle, zeros = synthetic.make_oracle(world, split.features), np.zeros(count)
    seeds = (0, 1, 2)
    found = evaluate(protocol, split, lambda _: zeros, seeds, make_observer(split, seeds), oracle)
    return {result.condition.name: result.bayes for result in found.conditions}


def lost(name, condition, metric="acc2_non0"):
    """What the optimum loses where something is missing."""
    found = bayes(name)
    return found["all"][metric] - found[condition][metric]


def test_every_preset_is_there_and_documented():
    expected = {"small", "noisy", "redundant", "private", "shifted", "interacting"}
    assert set(PRESETS) == expected
    for name in expected:
        text = PRESETS[name].read_text()
        assert f"bin/train --config configs/demo.yaml --config configs/worlds/{name}.yaml" in text
        assert f"\n| [{name}](../configs/worlds/{name}.yaml) |" in PAGE


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_the_demo_where_it_says_so_and_nowhere_else(name):
    content = yaml.safe_load(PRESETS[name].read_text())
    flat = {
        f"{section}.{key}.{inner}" if isinstance(value, dict) else f"{section}.{key}": given
        for section, values in content.items()
        for key, value in values.items()
        for inner, given in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert arguments.load(DEMO, flat) == config_of(name)
    if name != "shifted":
        assert set(content) == {"data"}
        assert set(content["data"]) == {"synthetic"}
    argv = ("--config", str(DEMO), "--config", str(PRESETS[name]))
    assert arguments.parse(arguments.make_parser("train", "", argv), argv)[0] == config_of(name)


@pytest.mark.parametrize("name", ["demo", *PRESETS])
def test_the_figures_in_the_documentation_are_those_of_the_oracle(name):
    (row,) = re.findall(rf"^\| {name} \| (\d.*) \|$", PAGE, re.M)
    found = bayes(name, options_of(name).test)
    written = [[float(figure) for figure in cell.split(", ")] for cell in row.split(" | ")]
    for (accuracy, correlation), table in zip(written, found.values(), strict=True):
        # The last digit may differ on another machine.
        assert accuracy == pytest.approx(100 * table["acc2_non0"], abs=0.11)
        assert correlation == pytest.approx(table["corr"], abs=0.0011)
    if name == "demo":
        return
    header = PRESETS[name].read_text().replace("\n#", "")
    figures = [cell.replace(",", " and") for cell in row.split(" | ")]
    assert f"{figures[0]} with all modalities, {figures[1]} with audio and vision" in header


def test_language_is_recoverable_in_one_world_and_hardly_in_another():
    for metric in ("acc2_non0", "corr"):
        losses = [lost(name, "audio+vision", metric) for name in ("redundant", "demo", "private")]
        assert losses[0] < 0.025 < 0.1 < losses[1] < losses[2] - 0.05
    assert bayes("redundant")["audio+vision"]["corr"] > 0.97 * bayes("redundant")["all"]["corr"]
    assert bayes("private")["audio+vision"]["corr"] < 0.6 * bayes("private")["all"]["corr"]
    # What is there at best is about the same in the three.
    complete = [bayes(name)["all"]["corr"] for name in ("redundant", "demo", "private")]
    assert np.ptp(complete) < 0.04


def test_missing_frames_cost_most_where_frames_are_noisy():
    for metric in ("acc2_non0", "corr"):
        assert lost("noisy", "rate=0.5", metric) > 1.5 * lost("demo", "rate=0.5", metric) > 0
    assert bayes("noisy")["all"]["corr"] < bayes("demo")["all"]["corr"] - 0.1


def test_a_product_needs_both_of_its_modalities_and_more_than_a_sum():
    found = bayes("interacting")
    assert lost("interacting", "audio+vision", "corr") > 0.2
    assert lost("interacting", "language+vision", "corr") > 0.2
    assert lost("interacting", "language+audio", "corr") < 0.06
    world, split = drawn(options_of("interacting"), 4000)
    linear = synthetic.World(**{**vars(world), "product_weight": 0.0})
    added_up = synthetic.posterior_mean(linear, split.features, split.valid)
    correlation = np.corrcoef(added_up, split.labels)[0, 1]
    right = np.mean((added_up > 0) == (split.labels > 0))
    assert correlation < found["all"]["corr"] - 0.15
    assert right < found["all"]["acc2_non0"] - 0.05
    written = re.search(
        r"a Corr of at most ([\d.]+); .* an Acc2 of ([\d.]+)\.", " ".join(PAGE.split())
    )
    assert float(written[1]) == pytest.approx(correlation, abs=0.0011)
    assert float(written[2]) == pytest.approx(100 * right, abs=0.11)


def test_a_small_world_is_the_demo_with_less_to_learn_from():
    small, demo = options_of("small"), options_of("demo")
    assert (small.train, small.valid) == (300, 100)
    assert small.test == demo.test
    assert bayes("small") == bayes("demo")


def test_a_shifted_world_never_loses_a_modality_in_training():
    valid = {m: np.ones((500, 20), bool) for m in MODALITIES}
    shares = []
    for name in ("shifted", "demo"):
        uniforms = draw_uniforms(jax.random.key(0), valid)
        masks = observe(uniforms, valid, config_of(name).missing)
        shares.append(np.mean([~np.asarray(mask).any(axis=1) for mask in masks.values()]))
        kept = np.mean([np.asarray(mask).mean() for mask in masks.values()])
        assert kept < 0.8
    assert shares[0] == 0 < 0.3 < shares[1]
    assert config_of("shifted").evaluation.protocol == "corrkd"


# Another method than the demo's compiles in less time.
SHORT = (*TINY, "--training.epochs", "1", "--method.name", "late_fusion")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains(name, tmp_path):
    argv = ["--config", DEMO, "--config", PRESETS[name], *SHORT]
    done = call("train", *argv, "--output.directory", tmp_path / "run")
    assert (done.status, done.err) == (0, "")
    results = read_json(tmp_path / "run" / "results.json")
    complete = next(r for r in results["conditions"] if r["name"] == "+".join(MODALITIES))
    assert complete["bayes"]["mae"] < complete["metrics"]["mae"]


def test_probes_find_the_latents_of_a_product():
    world, split = drawn(options_of("interacting"), 4000)
    latents = latents_of(world, split.ids[:50])
    assert set(latents) == {"u", *(f"{kind}_{m}" for kind in "wr" for m in MODALITIES)}
    linear = synthetic.World(**{**vars(world), "product_weight": 0.0})
    of_rest = synthetic.sample(linear, "test", 4000)[0].labels[:50]
    product = latents["w_language"][:, 0] * latents["w_audio"][:, 0]
    expected = of_rest + world.product_weight * product
    np.testing.assert_allclose(split.labels[:50], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "cuts", "metric"),
    [("cross_entropy", "[-0.5,0.5]", "accuracy"), ("binary_cross_entropy", "[0.0]", "accuracy")],
)
def test_classes_and_tasks_of_the_interacting_world(kind, cuts, metric, tmp_path):
    argv = ["--config", DEMO, "--config", PRESETS["interacting"], *SHORT]
    argv += ["--task.kind", kind, "--data.cuts", cuts, "--output.directory", tmp_path / "run"]
    done = call("train", *argv)
    assert (done.status, done.err) == (0, "")
    row = read_json(tmp_path / "run" / "results.json")["conditions"][0]
    assert 0 < row["bayes"][metric] <= 1
    assert row["bayes"]["cross_entropy"] < row["metrics"]["cross_entropy"]
