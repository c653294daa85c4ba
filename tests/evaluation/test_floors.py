"""Floors: their columns by hand, what they may know, and their evaluation."""

import dataclasses

import numpy as np
import pytest
from evaluation_case import CUTS, MODALITIES, SEEDS, TASKS, CountingOracle, corrkd_at
from lazy_case import staying

from fsrf_jax.data import normalise
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.labels import cut_labels
from fsrf_jax.data.synthetic import SyntheticOptions, make_oracle, make_world, sample
from fsrf_jax.evaluation import floors
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.floors import FLOORS, LENGTH, ONE, PER_CONDITION
from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.evaluation.summary import summarise

OUTPUTS = {"number": 1, "class": 3, "binary": 2}


def splits(form="number", sizes=(400, 150, 300)):
    """Normalised train, valid and test of the built-in world, and the test's oracle."""
    world = make_world(SyntheticOptions(), MODALITIES)
    names = ("train", "valid", "test")
    raw = [sample(world, name, size)[0] for name, size in zip(names, sizes, strict=True)]
    cuts = () if form == "number" else CUTS
    oracle = CountingOracle(make_oracle(world, raw[2].features, form, cuts))
    if cuts:
        raw = [dataclasses.replace(s, labels=cut_labels(s.labels, cuts, form)) for s in raw]
    normaliser = normalise.fit(raw[0], 10.0)
    return [normaliser.apply(split) for split in raw], oracle


def family(form):
    return family_of("mosi" if form == "number" else form, TASKS.get(form, ()))


def measured(parts, form="number", protocol=None, **more):
    train, valid, test = parts
    protocol = protocol or corrkd_at(0.5, 1.0)
    observe = make_observer(test, SEEDS)
    asked = (protocol, train, valid, test, SEEDS, observe, family(form), OUTPUTS[form])
    return floors.evaluate_floors(*asked, **more)


@pytest.fixture(scope="module")
def numbers():
    return splits()


@pytest.fixture(scope="module")
def found(numbers):
    return measured(numbers[0], oracle=numbers[1])


def figures(evaluation, metric):
    return {result.condition.name: result.metrics[metric] for result in evaluation.conditions}


def small(features, labels, present=None, valid=None):
    valid = valid or {m: np.ones(x.shape[:2], bool) for m, x in features.items()}
    ids = np.array([f"s{i}" for i in range(len(labels))])
    return Split(ids, features, valid, np.asarray(labels, np.float32), present=present)


# Columns.


def test_mean_frames_by_hand():
    x = {
        "vision": np.array([[[1, 2], [3, 6]], [[5, 5], [7, 9]]], np.float32),
        "audio": np.array([[[4], [8]], [[1], [2]]], np.float32),
    }
    seen = {
        "vision": np.array([[1, 1], [0, 1]], bool),
        "audio": np.array([[0, 1], [0, 0]], bool),
    }
    rows = floors.mean_frames(small(x, [0, 1]), seen, {})
    np.testing.assert_array_equal(rows, [[8, 2, 4], [np.nan, 7, 9]])  # by the names' order


def test_under_several_masks_samples_are_read_once_and_means_are_the_same(monkeypatch):
    """As many masks at a time as there is room for: here two, then one."""
    rng = np.random.default_rng(0)
    x = {"audio": rng.normal(size=(9, 4, 3)), "language": rng.integers(0, 5, (9, 4, 1))}
    x = {"audio": x["audio"].astype("f4"), "language": x["language"].astype("i4")}
    split = small(x, np.zeros(9))
    tokens = {"language": floors.count_tokens(split, "language")}
    masks = [{m: rng.random((9, 4)) < 0.5 for m in x} for _ in range(3)]
    monkeypatch.setattr(floors, "ROWS", 4)
    monkeypatch.setattr(floors, "TOGETHER", 2 * 9 * 8 * 4)
    read = []
    asked = [lambda mask=mask: mask for mask in masks]
    found = list(floors.mean_frames_under(staying(split, read), asked, tokens))
    for rows, mask in zip(found, masks, strict=True):
        np.testing.assert_array_equal(rows, floors.mean_frames(split, mask, tokens))
    assert read == 2 * [4, 4, 4, 4, 1, 1]


def test_floors_of_what_stays_in_its_file_are_the_same(numbers, found):
    again = measured([staying(split) for split in numbers[0]], oracle=numbers[1])
    for name in FLOORS:
        for one, other in zip(again[name].conditions, found[name].conditions, strict=True):
            np.testing.assert_array_equal(one.predictions, other.predictions)


def test_lengths_by_hand():
    x = {m: np.zeros((2, 3, 1), np.float32) for m in ("language", "audio")}
    valid = {
        "language": np.array([[1, 1, 1], [0, 0, 0]], bool),
        "audio": np.array([[1, 0, 0], [1, 1, 0]], bool),
    }
    present = {m: np.zeros_like(v) for m, v in valid.items()}
    rows = floors.lengths(small(x, [0, 1], present, valid))
    np.testing.assert_allclose(rows, [[1, 3, np.log(2), np.log(4)], [2, 0, np.log(3), 0]])


def test_shares_of_tokens_by_hand():
    ids = np.array([[5, 7, 5, 0], [7, 7, 9, 9], [5, 0, 0, 0]], np.int32)[:, :, None]
    split = small({"language": ids}, [0, 1, 2], {"language": ids[:, :, 0] > 0})
    tokens = floors.count_tokens(split, "language")
    assert tokens.ids_k.tolist() == [5, 7, 9]
    share_k = np.array([3, 3, 2]) / 8
    np.testing.assert_allclose(tokens.share_k, share_k)
    seen = {"language": np.array([[1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], bool)}
    rows = floors.mean_frames(split, seen, {"language": tokens})
    observed = np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    expected = (observed - share_k) / np.sqrt(share_k * (1 - share_k))
    np.testing.assert_allclose(rows[:2], expected)
    assert np.isnan(rows[2]).all()
    # Ids that training has not seen are no known token, and count as a frame.
    other = small({"language": np.full((1, 4, 1), 8, np.int32)}, [0])
    rows = floors.mean_frames(other, other.present, {"language": tokens})
    np.testing.assert_allclose(rows[0], -share_k / np.sqrt(share_k * (1 - share_k)))


def test_the_most_frequent_tokens_are_known_and_the_smaller_of_equals(monkeypatch):
    monkeypatch.setattr(floors, "MOST_TOKENS", 3)
    ids = np.array([[9, 9, 9, 4, 4, 6, 6, 2, 8]], np.int32)[:, :, None]
    tokens = floors.count_tokens(small({"language": ids}, [0]), "language")
    assert tokens.ids_k.tolist() == [4, 6, 9]


# What they may know.


def test_a_modality_that_nothing_is_seen_of_has_the_mean_of_training():
    """One feature each: the prediction is that of the training mean in its place."""
    rng = np.random.default_rng(0)

    def make(n):
        x = {m: rng.normal(size=(n, 3, 1)).astype(np.float32) for m in ("audio", "vision")}
        return small(x, x["audio"].mean(axis=(1, 2)) + 2 * x["vision"].mean(axis=(1, 2)))

    train, valid, test = make(50), make(20), make(4)
    fitted = floors.fit(train, valid, (), -1, "number", 1).one
    means = {m: x.astype(np.float64).mean(axis=1) for m, x in train.features.items()}
    seen = {"audio": test.present["audio"], "vision": np.zeros((4, 3), bool)}
    audio_n = test.features["audio"].astype(np.float64).mean(axis=1)[:, 0]
    weights = fitted.weights_fo[:, 0]
    expected = weights[0] * audio_n + weights[1] * means["vision"].mean() + fitted.intercept_o
    np.testing.assert_allclose(fitted(floors.mean_frames(test, seen, {})), expected, rtol=1e-5)


def test_who_knows_the_condition_is_at_least_as_good(found):
    """Without language, imputation still weighs what is left as if language were there."""
    mae, accuracy = ({n: figures(found[n], m) for n in FLOORS} for m in ("mae", "acc2_non0"))
    for condition in ("audio", "vision", "audio+vision"):
        assert mae[PER_CONDITION][condition] < mae[ONE][condition] < mae[LENGTH][condition]
    assert accuracy[PER_CONDITION]["audio+vision"] >= accuracy[ONE]["audio+vision"]
    # With everything seen both are one model.
    whole = [found[name].conditions[6].predictions for name in (ONE, PER_CONDITION)]
    np.testing.assert_array_equal(*whole)


def test_the_length_alone_sees_no_mask_and_no_feature(numbers, found):
    first = found[LENGTH].conditions[0].predictions[0]
    for result in found[LENGTH].conditions:
        np.testing.assert_array_equal(result.predictions, np.tile(first, (len(SEEDS), 1)))
    train, valid, test = numbers[0]
    labels = [sum(np.log(v.sum(axis=1)) for v in s.valid.values()) for s in (train, valid, test)]
    known = [dataclasses.replace(s, labels=y) for s, y in zip(numbers[0], labels, strict=True)]
    knows = figures(measured(known)[LENGTH], "corr")
    assert min(knows.values()) > 0.99


def test_what_nothing_is_seen_of_is_the_mean_label(numbers, found):
    mean = numbers[0][0].labels.mean()
    for name in (ONE, PER_CONDITION):
        result = found[name].conditions[-1]
        assert result.condition.name == "rate=1.0"
        np.testing.assert_allclose(result.predictions, mean, atol=1e-5)


def test_the_labels_that_are_evaluated_change_no_prediction(numbers, found):
    train, valid, test = numbers[0]
    other = measured((train, valid, dataclasses.replace(test, labels=-test.labels)))
    for name in FLOORS:
        for one, two in zip(found[name].conditions, other[name].conditions, strict=True):
            np.testing.assert_array_equal(one.predictions, two.predictions)
            assert one.metrics["mae"] != two.metrics["mae"]


def test_fits_have_masks_that_no_test_has(numbers, monkeypatch):
    asked = []
    make = floors.make_observer
    monkeypatch.setattr(floors, "make_observer", lambda split, seeds: (
        asked.append((len(split), tuple(seeds))), make(split, seeds))[1])  # fmt: skip
    measured(numbers[0], protocol=corrkd_at(0.5))
    assert asked == [(400, (-1,)), (150, (-1,))]
    assert floors.unused((3, -4, 0)) == -5


# Their evaluation.


def test_they_are_evaluated_on_the_masks_of_everybody(numbers, found):
    train, valid, test = numbers[0]
    observe = make_observer(test, SEEDS)
    protocol = corrkd_at(0.5, 1.0)
    fitted = floors.fit(train, valid, protocol.conditions, -1, "number", 1)

    def predict(observed):
        return fitted.one(floors.mean_frames(test, observed, {})).astype(np.float32)

    expected = evaluate(protocol, test, predict, SEEDS, observe)
    assert tuple(found) == FLOORS
    for name, evaluation in found.items():
        assert evaluation.masks_digest == expected.masks_digest
        assert np.array_equal(evaluation.ids, test.ids)
        assert evaluation.mask_seeds == SEEDS
        assert evaluation.floor == expected.floor
        for one, two in zip(evaluation.conditions, expected.conditions, strict=True):
            assert one.condition == two.condition
            assert one.missing_per_seed == two.missing_per_seed
            assert one.predictions.dtype == np.float32
            if name == ONE:
                np.testing.assert_array_equal(one.predictions, two.predictions)
                assert one.per_seed == two.per_seed


def test_the_oracle_is_asked_for_one_of_them(numbers):
    oracle = numbers[1]
    oracle.calls = 0
    found = measured(numbers[0], oracle=oracle)
    assert oracle.calls == 7 + 2 * len(SEEDS)
    first, *others = (
        [result.bayes_per_seed for result in one.conditions] for one in found.values()
    )
    assert len(first[0]) == len(SEEDS)
    assert all(one == first for one in others)
    assert all(r.bayes is None for one in measured(numbers[0]).values() for r in one.conditions)


@pytest.mark.parametrize("form", ["class", "binary"])
def test_classes_and_tasks_have_probabilities_better_than_a_constant(form):
    parts, _ = splits(form)
    found = measured(parts, form)
    floor = found[ONE].floor["accuracy"]
    for name in FLOORS:
        assert found[name].conditions[0].predictions.shape == (3, 300, OUTPUTS[form])
        assert None not in figures(found[name], "cross_entropy").values()
    for name in (ONE, PER_CONDITION):
        assert figures(found[name], "accuracy")["language+audio+vision"] > floor + 0.1
    entropy = {name: figures(found[name], "cross_entropy")["audio+vision"] for name in FLOORS}
    assert entropy[PER_CONDITION] < entropy[ONE]
    assert entropy[PER_CONDITION] < entropy[LENGTH]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_them(protocol):
    parts, _ = splits(sizes=(60, 30, 40))
    found = measured(parts, protocol=PROTOCOLS[protocol](MODALITIES))
    for evaluation in found.values():
        assert None not in figures(evaluation, "mae").values()


def test_tokens_that_say_something_are_read():
    rng = np.random.default_rng(0)

    def make(n):
        labels = rng.integers(0, 2, n)
        ids = np.where(rng.random((n, 6)) < 0.8, 3 + labels[:, None], rng.integers(5, 30, (n, 6)))
        x = {
            "language": ids[:, :, None].astype(np.int32),
            "audio": rng.normal(size=(n, 4, 2)).astype(np.float32),
        }
        present = {"language": rng.random((n, 6)) < 0.9, "audio": np.ones((n, 4), bool)}
        return small(x, labels * 2.0 - 1, present)

    parts = [make(n) for n in (150, 50, 60)]
    found = measured(parts, protocol=PROTOCOLS["corrkd"](("language", "audio")))
    accuracy = figures(found[ONE], "acc2_non0")
    assert accuracy["language"] > 0.95
    assert accuracy["audio"] < 0.8
    assert None not in figures(found[PER_CONDITION], "mae").values()


def test_poor_data_have_floors_without_a_warning():
    """One training sample, constant features, a modality and tokens that no training sample has."""
    x = {
        "audio": np.ones((3, 2, 2), np.float32),
        "language": np.array([[[4], [5]]] * 3, np.int32),
        "vision": np.full((3, 2, 1), 2, np.float32),
    }
    whole = small(x, [1.0, -1.0, 2.0])
    nothing = {m: np.zeros((1, 2), bool) for m in ("language", "vision")}
    train = dataclasses.replace(
        whole.take(slice(1)), present={**nothing, "audio": np.ones((1, 2), bool)}
    )
    found = measured((train, whole, whole), protocol=PROTOCOLS["corrkd"](tuple(x)))
    for evaluation in found.values():
        for result in evaluation.conditions:
            np.testing.assert_allclose(result.predictions, 1.0)


# In results.


def test_results_have_their_figures_in_every_row(found):
    results = summarise(found[ONE], "test", None, "abc", floors=found)
    names = [entry["name"] for entry in results["conditions"]]
    for floor in FLOORS:
        by_name = figures(found[floor], "mae")
        for entry in results["conditions"]:
            assert entry["floors"][floor]["mae"] == by_name[entry["name"]]
        average = results["average"]
        assert average["floors"][floor]["mae"] == pytest.approx(
            np.mean([by_name[name] for name in names[:6]])
        )
        assert average["all_conditions"]["floors"][floor]["mae"] == pytest.approx(
            np.mean([by_name[name] for name in names[:8]])  # rate=1.0 shows nothing
        )
    assert results["average"]["floors"][ONE] == results["average"]["metrics"]
    # Undefined in one condition, and so in every mean over it: with nothing seen all is constant.
    assert results["conditions"][-1]["floors"][ONE]["corr"] is None
    assert results["average"]["floors"][ONE]["corr"] is not None


def test_without_floors_results_have_none(found):
    results = summarise(found[ONE], "test", None, "abc")
    rows = [*results["conditions"], results["average"], results["average"]["all_conditions"]]
    assert not any("floors" in row for row in rows)
