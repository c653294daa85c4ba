"""The chapters on predictions, training, codes, settings, data and masks."""

import dataclasses

import numpy as np
import pytest
from evaluation_case import run
from report_case import config_with, evaluation_of, labels_with, material_of, method_of
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

from fsrf_jax.config import Config
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.synthetic import SyntheticOptions, make_dataset
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.probes.probe import probe
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import corrkd
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.methods import Corrkd, Fsrf, LateFusion
from fsrf_jax.reporting.answers import answers_section, chosen
from fsrf_jax.reporting.codes import codes_section, principal_plane, sentiments
from fsrf_jax.reporting.data import data_section, masks_section
from fsrf_jax.reporting.document import Figure, Folded, Items, Paragraph, Table
from fsrf_jax.reporting.learning import learning_section
from fsrf_jax.reporting.material import Absent, RunGroup
from fsrf_jax.reporting.setup import runs_section, settings_section
from fsrf_jax.source import Source
from fsrf_jax.types import Codes

LABELS = labels_with(9, 8, 2)
MODALITIES = ("language", "audio", "vision")


def alone(material):
    return [RunGroup(material.name, [material])]


def cells(table):
    return {name: dict(zip(table.header[1:], row, strict=True)) for name, *row in table.rows}


def of_kind(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


# Predictions


def test_the_conditions_shown_span_the_scores():
    results = method_of(LABELS).first.results
    scores = {e["name"]: e["metrics"]["acc2_non0"] for e in results["conditions"]}
    shown = chosen(results)
    assert len(shown) == 4
    assert "rate=1.0" not in shown
    seen = {name: score for name, score in scores.items() if name != "rate=1.0"}
    assert scores[shown[0]] == max(seen.values())
    assert scores[shown[-1]] == min(seen.values())


def test_every_condition_has_its_picture():
    shown, folded = answers_section([method_of(LABELS)]).blocks
    titles = [panel.title for panel in (*shown.panels, *folded.blocks[0].panels)]
    assert len(titles) == len(set(titles)) == 17
    assert "audio (collapsed)" in titles


def test_classes_have_their_confusion():
    material = material_of(run(form="class"), "classes")
    blocks = answers_section(alone(material)).blocks
    tables = [*of_kind(blocks, Table), *of_kind(blocks, Folded)[0].blocks]
    assert len(tables) == 17
    name = chosen(material.results)[0]
    assert tables[0].caption.startswith(f"{name}: confusion")
    predicted = material.evaluated.predictions[name][0].argmax(axis=1)
    counts = confusion_matrix(material.evaluated.labels, predicted, labels=[0, 1, 2])
    assert [[int(c) for c in row[1:]] for row in tables[0].rows] == counts.tolist()


def test_tasks_have_their_decisions():
    material = material_of(run(form="binary"), "tasks")
    table = answers_section(alone(material)).blocks[0]
    predictions = material.evaluated.predictions[chosen(material.results)[0]][0]
    for index, task in enumerate(("task0", "task1")):
        truth = material.evaluated.labels[:, index] > 0.5
        tn, fp, fn, tp = confusion_matrix(truth, predictions[:, index] > 0.5).ravel()
        assert [int(c) for c in cells(table)[task].values()] == [tp, fp, fn, tn]


# Training

JOURNAL = tuple(
    {"epoch": e, "validation_error": 1 / e, "best_epoch": e, "task": 2.0 / e, "redundancy": 0.1}
    for e in (1, 2, 3)
)


def test_every_term_has_its_curve():
    material = material_of(evaluation_of(LABELS), journal=JOURNAL)
    (figure,) = learning_section(alone(material)).blocks
    titles = [panel.title for panel in figure.panels]
    assert titles == ["Validation error", "redundancy", "task"]
    assert figure.panels[2].alt == "run from 2 in epoch 1 to 0.667 in epoch 3"


def test_a_term_that_one_method_lacks_is_drawn_of_the_other():
    less = tuple({k: v for k, v in record.items() if k != "redundancy"} for record in JOURNAL)
    runs = [
        material_of(evaluation_of(LABELS), name, journal=journal)
        for name, journal in (("a", JOURNAL), ("b", less))
    ]
    (figure,) = learning_section([RunGroup(r.name, [r]) for r in runs]).blocks
    alts = {panel.title: panel.alt for panel in figure.panels}
    assert "b from" in alts["task"]
    assert "b from" not in alts["redundancy"]
    assert [name for _, name in figure.legend] == ["a", "b"]


def test_what_is_not_finite_is_not_drawn():
    broken = (
        {"epoch": 1, "task": 1.0},
        {"epoch": 2, "task": float("nan")},
        {"epoch": 3, "task": 2},
    )
    material = material_of(evaluation_of(LABELS), journal=broken)
    (figure,) = learning_section(alone(material)).blocks
    (panel,) = figure.panels
    assert panel.alt == "run from 1 in epoch 1 to 2 in epoch 3"
    assert "nan" not in panel.svg


def test_a_run_without_a_journal_says_so():
    (paragraph,) = learning_section([method_of(LABELS)]).blocks
    assert "metrics.jsonl" in paragraph.text


# Codes


def test_the_plane_is_that_of_principal_components():
    code = np.random.default_rng(0).normal(size=(50, 6)) * [5, 1, 3, 1, 1, 1] + 7
    plane, shares = principal_plane(code)
    reference = PCA(2).fit(code)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(plane), np.abs(reference.transform(code)), rtol=1e-8)


def test_the_sign_of_a_component_is_fixed():
    code = np.random.default_rng(1).normal(size=(40, 4)) * [4, 2, 1, 1]
    plane, _ = principal_plane(code)
    mirrored, _ = principal_plane(-code)
    np.testing.assert_allclose(mirrored, -plane, atol=1e-12)
    assert np.corrcoef(plane[:, 0], code[:, 0])[0, 1] > 0.9


def test_codes_that_do_not_vary_have_a_plane_without_shares():
    plane, shares = principal_plane(np.full((5, 3), 2.0))
    assert not plane.any()
    assert not shares.any()


@pytest.mark.parametrize(
    ("labels", "form", "groups", "names"),
    [
        (np.array([-2.0, 0.0, 1.0]), "number", [-1, 0, 1], ["negative", "zero", "positive"]),
        (np.array([2.0, 0.0]), "class", [2, 0], ["class 0", "class 2"]),
        (np.array([[1.0, 0.0], [0.0, 1.0]]), "binary", [1, 0], ["first task 0", "first task 1"]),
    ],
)
def test_sentiments(labels, form, groups, names):
    found, named = sentiments(labels, form)
    assert found.tolist() == groups
    assert [name for name, _ in named.values()] == names
    assert len({style for _, style in named.values()}) == len(named)


KINDS = ("homogeneous", "heterogeneous", "noise")


def fake_codes(n, absent=(), kinds=KINDS):
    rng = np.random.default_rng(2)
    modalities = tuple(sorted(MODALITIES))
    available = np.ones((3, n), np.float32)
    available[modalities.index("vision"), list(absent)] = 0
    drawn = {kind: rng.normal(size=(3, n, 4)) for kind in KINDS}
    some = {kind: drawn[kind] for kind in kinds}
    return Codes(modalities=modalities, available=available, fused=np.ones((n, 4)), **some)


def test_pictures_of_the_codes():
    method = method_of(LABELS)
    blocks = codes_section([method], {"ours": fake_codes(len(LABELS), (0, 1))}, "number").blocks
    by_modality, by_sentiment = of_kind(blocks, Figure)
    assert [panel.title[-3:] for panel in by_modality.panels] == ["(H)", "(S)", "(N)"]
    assert [name for _, name in by_modality.legend] == ["audio", "language", "vision"]
    assert [name for _, name in by_sentiment.legend] == ["negative", "zero", "positive"]
    assert "percent of the variance; audio around (" in by_modality.panels[0].alt
    assert len(of_kind(blocks, Paragraph)) == 2  # neither probes nor recovery


def test_a_code_that_the_method_does_not_have_has_no_picture():
    method, n = method_of(LABELS), len(LABELS)
    whole, some = (
        of_kind(codes_section([method], {"ours": codes}, "number").blocks, Figure)
        for codes in (fake_codes(n, (0, 1)), fake_codes(n, (0, 1), kinds=("heterogeneous",)))
    )
    assert len(some) == len(whole) == 2
    for one, all_three in zip(some, whole, strict=True):
        assert list(one.panels) == [all_three.panels[1]]
        assert list(one.legend) == list(all_three.legend)


def test_without_any_code_to_show_the_page_says_so():
    bare = fake_codes(len(LABELS), kinds=())
    blocks = codes_section([method_of(LABELS)], {"ours": bare}, "number").blocks
    assert not of_kind(blocks, Figure)
    assert blocks[0].text == (
        "ours: no pictures of the codes: the method has no homogeneous, heterogeneous or noise "
        "codes."
    )


def test_what_cannot_be_shown_of_the_codes_is_told():
    blocks = codes_section([method_of(LABELS)], {"ours": Absent("no checkpoint.")}, "number").blocks
    assert blocks[0].text == "ours: no pictures of the codes: no checkpoint."


@pytest.mark.parametrize("has", ["HSN", "S", "HN"])
def test_probes_of_a_method_have_rows_of_the_codes_that_it_has(has):
    n = len(LABELS)
    fields = dict(zip("HSN", KINDS, strict=True))
    codes = fake_codes(n, kinds=[fields[kind] for kind in has])
    probes = {**probe(codes, MODALITIES, LABELS[:, None]), "split": "test"}
    method = RunGroup("ours", [material_of(evaluation_of(LABELS), probes=probes)])
    blocks = codes_section([method], {"ours": codes}, "number").blocks
    label, identity = of_kind(blocks, Table)
    assert list(cells(label)) == [f"{kind} {m}" for kind in has for m in (*MODALITIES, "mean")]
    assert list(cells(identity)) == [*has, "chance"]
    (alignment,) = of_kind(blocks, Folded)[0].blocks
    names = [f"{kind} {m}" for kind in has for m in MODALITIES]
    assert list(cells(alignment)) == list(alignment.header[1:]) == names


# Settings and runs


def test_settings_that_differ_stand_first():
    material = material_of(evaluation_of(LABELS), config=config_with(epochs=7, seed=3))
    other = material_of(evaluation_of(LABELS), "other", config=config_with(batch_size=8))
    blocks = settings_section([*alone(material), *alone(other)]).blocks
    assert cells(blocks[0]) == {
        "training.epochs": {"default": "30", "run": "7", "other": "30"},
        "training.batch_size": {"default": "64", "run": "64", "other": "8"},
    }
    assert [block.summary for block in blocks[1:]] == [
        "Whole config of run",
        "Whole config of other",
    ]
    assert "training.seed: 3\n" in blocks[1].blocks[0].text


def test_settings_of_defaults_and_of_other_programs():
    same = material_of(evaluation_of(LABELS), config=config_with())
    assert settings_section(alone(same)).blocks[0].text == "Every setting has its default."
    assert "nothing is known" in settings_section([method_of(LABELS)]).blocks[0].text


def test_settings_of_methods_that_have_other_options():
    """Each against the defaults of its method; a dash where it has no such option."""
    methods = {
        "ours": Fsrf(complete_view=True),
        "late": LateFusion(),
        "kd": Corrkd(margin=0.5),
    }
    groups = [
        alone(
            material_of(
                evaluation_of(LABELS), name, config=dataclasses.replace(Config(), method=method)
            )
        )[0]
        for name, method in methods.items()
    ]
    table, *whole = settings_section(groups).blocks
    assert cells(table) == {
        "method.name": {"default": "fsrf", "ours": "fsrf", "late": "late_fusion", "kd": "corrkd"},
        "method.complete_view": {
            "default": "false",
            "ours": "true",
            "late": "false",
            "kd": "false",
        },
        "method.margin": {"default": "1.2", "ours": "-", "late": "-", "kd": "0.5"},
    }
    assert "method.weights" not in whole[1].blocks[0].text
    assert "method.margin: 0.5" in whole[2].blocks[0].text


def test_an_environment_stands_there_once():
    environment = {
        "command": ["bin/train", "--output.directory", "a b"],
        **{"python": "3.12", "versions": {"jax": "9"}, "devices": ["cpu", "cpu"]},
        "commit": "abc-changed",
    }
    runs = [material_of(evaluation_of(LABELS), f"r{s}", s, environment=environment) for s in (0, 1)]
    table, machine, commands = runs_section([RunGroup("both", runs)]).blocks
    assert list(cells(table)) == ["both, r0", "both, r1"]
    assert machine.text == "python 3.12\njax 9\ncommit: abc-changed\ndevices: 2 x cpu"
    assert commands.blocks[0].text == "bin/train --output.directory 'a b'"


# Data and masks


@pytest.fixture(scope="module")
def source():
    options = SyntheticOptions(train=30, valid=10, test=20)
    dataset, world = make_dataset(options, MODALITIES)
    test = dataset.splits["test"]
    test.valid["vision"][:5] = False
    test.labels[:3] = 0
    noted = Dataset(dataset.splits, notes=("3 values were not finite.",))
    return Source(noted, world, "number", 1, ())


def test_the_data_are_counted(source):
    blocks = data_section(source).blocks
    labels, modalities, patterns = of_kind(blocks, Table)
    y = source.split("test").labels
    found = cells(labels)["test"]
    assert found["samples"] == "20"
    assert [int(found[k]) for k in ("negative", "zero", "positive")] == [
        *((y < 0).sum(), 3, (y > 0).sum()),
    ]
    assert cells(modalities)["test, vision"]["samples that have it"] == "75.0"
    assert cells(modalities)["test, audio"]["samples that have it"] == "100.0"
    assert cells(patterns)["language+audio"] == {"train": "0", "valid": "0", "test": "5"}
    assert of_kind(blocks, Items)[0].texts == ("3 values were not finite.",)
    assert [panel.title for panel in of_kind(blocks, Figure)[0].panels] == [
        "train",
        "valid",
        "test",
    ]


@pytest.mark.parametrize(("form", "heads"), [("class", "class {}"), ("binary", "task {} positive")])
def test_classes_and_tasks_are_counted(source, form, heads):
    values = np.arange(20) % 3
    labels = values if form == "class" else np.eye(3)[values]
    test = dataclasses.replace(source.split("test"), labels=labels.astype(np.float32))
    other = Source(Dataset({"test": test}), None, form, 3, ())
    found = cells(of_kind(data_section(other).blocks, Table)[0])["test"]
    assert [found[heads.format(i)] for i in range(3)] == ["7", "7", "6"]


def results_on(split, seeds=(0, 1)):
    observe = make_observer(split, seeds)
    found = evaluate(corrkd(MODALITIES), split, lambda masks: split.labels, seeds, observe)
    return summarise(found, "test", 0, "abc")


def test_the_masks_are_drawn_again_and_counted(source):
    split = source.split("test")
    results = results_on(split)
    facts, table = masks_section(results, source).blocks
    assert any(results["masks_digest"] in text for text in facts.texts)
    found = cells(table)
    assert found["language"]["language: frames"] == "100.0"
    assert set(found["rate=1.0"].values()) == {"0.0"}
    rate = next(c for c in corrkd(MODALITIES).conditions if c.name == "rate=0.1")
    observe = make_observer(split, (0, 1))
    seen = [observe(rate, seed)["language"].sum() for seed in (0, 1)]
    expected = f"{100 * np.mean(seen) / split.valid['language'].sum():.1f}"
    assert found["rate=0.1"]["language: frames"] == expected


def test_masks_that_cannot_be_drawn_again_are_not_counted(source):
    results = results_on(source.split("test")) | {"masks_digest": "0" * 64}
    (facts,) = masks_section(results, source).blocks
    assert "another digest" in facts.texts[-1]
    (facts,) = masks_section(results, Absent("the file is gone.")).blocks
    assert facts.texts[-1] == "What they show is not counted here: the file is gone."


def test_data_that_are_absent_are_told_of():
    (paragraph,) = data_section(Absent("the file is gone.")).blocks
    assert paragraph.text == "No summary of the data: the file is gone."
