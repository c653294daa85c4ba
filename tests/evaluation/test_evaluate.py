"""A predictor through a protocol: what is asked, what is kept, what is refused."""

import numpy as np
import pytest
from evaluation_case import (
    MODALITIES,
    SEEDS,
    doubtful_model_of,
    make_split,
    model_of,
    observer,
    run,
)

from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.regression import regression_metrics
from fsrf_jax.evaluation.protocols.masks import missing_shares
from fsrf_jax.evaluation.protocols.registry import corrkd


def test_predictions_and_metrics_belong_to_condition_and_seed():
    split, oracle = make_split()
    predict, observe = model_of(split, oracle), observer(split)
    evaluation = run()
    assert [result.condition for result in evaluation.conditions] == list(
        corrkd(MODALITIES).conditions
    )
    for result in evaluation.conditions:
        assert result.predictions.shape == (3, 200)
        for index, seed in enumerate(SEEDS):
            expected = predict(observe(result.condition, seed))
            assert np.array_equal(result.predictions[index], expected)
            assert result.per_seed[index] == regression_metrics(expected, split.labels)
        mean = np.mean([table["mae"] for table in result.per_seed])
        assert result.metrics["mae"] == pytest.approx(mean)
    assert evaluation.floor == FAMILIES["mosi"].floor(split.labels)
    assert np.array_equal(evaluation.ids, split.ids)


def test_bayes_is_the_oracle_on_the_same_masks():
    split, oracle = make_split()
    observe = observer(split)
    for result in run().conditions:
        tables = [
            regression_metrics(oracle(observe(result.condition, seed)), split.labels)
            for seed in SEEDS
        ]
        assert result.bayes_per_seed == tables
        assert result.bayes["mae"] == pytest.approx(np.mean([table["mae"] for table in tables]))


def test_without_an_oracle_there_is_no_bayes():
    for result in run(with_oracle=False).conditions:
        assert result.bayes is None
        assert result.bayes_per_seed == []


@pytest.mark.parametrize(("form", "outputs"), [("class", 3), ("binary", 2)])
def test_probabilities_are_measured_by_their_own_family(form, outputs):
    split, oracle = make_split(form=form)
    predict, observe, family = doubtful_model_of(oracle), observer(split), FAMILIES[form]
    evaluation = run(form=form)
    assert evaluation.family.form == form
    assert evaluation.floor == family.floor(split.labels)
    for result in evaluation.conditions:
        assert result.predictions.shape == (3, 200, outputs)
        for index, seed in enumerate(SEEDS):
            masks = observe(result.condition, seed)
            expected = predict(masks)
            assert np.array_equal(result.predictions[index], expected)
            assert result.per_seed[index] == family.compute(expected, split.labels)
            assert result.bayes_per_seed[index] == family.compute(oracle(masks), split.labels)
        # Whatever is seen, nobody is surprised less than the oracle, but for chance.
        assert result.bayes["cross_entropy"] < result.metrics["cross_entropy"] + 0.01


def test_conditions_without_random_frames_are_predicted_once():
    split, oracle = make_split()
    evaluation = evaluate(corrkd(MODALITIES), split, oracle, SEEDS, observer(split))
    assert oracle.calls == 7 + 10 * 3
    for result in evaluation.conditions[:7]:
        assert np.array_equal(result.predictions, np.tile(result.predictions[:1], (3, 1)))
        assert len(result.per_seed) == 3
    assert not np.array_equal(*evaluation.conditions[9].predictions[:2])


def test_a_diverged_model_is_reported_with_the_condition():
    split, _ = make_split()
    with pytest.raises(UserError, match="condition language: 200 of 200 predictions are NaN"):
        evaluate(corrkd(MODALITIES), split, lambda _: np.full(200, np.nan), SEEDS, observer(split))


def test_predictions_of_another_shape_are_refused():
    split, _ = make_split()
    with pytest.raises(ValueError, match="condition language: expected predictions"):
        evaluate(corrkd(MODALITIES), split, lambda _: np.zeros((200, 1)), SEEDS, observer(split))


def test_no_mask_seed_is_refused():
    split, oracle = make_split()
    with pytest.raises(ValueError, match="at least one mask seed"):
        evaluate(corrkd(MODALITIES), split, oracle, (), observer(split))


def test_masks_that_show_padding_or_a_missing_modality_are_refused():
    split, oracle = make_split()

    def padding(condition, seed):
        return {name: np.ones_like(valid) for name, valid in split.valid.items()}

    def everything(condition, seed):
        return split.valid

    for observe, name in ((padding, "language"), (everything, "audio")):
        with pytest.raises(ValueError, match=f"condition language: the mask of {name} shows"):
            evaluate(corrkd(MODALITIES), split, oracle, SEEDS, observe)


def test_masks_of_another_shape_or_type_are_refused():
    split, oracle = make_split()

    def numbers(condition, seed):
        return {name: valid.astype(np.float32) for name, valid in split.valid.items()}

    with pytest.raises(ValueError, match="expected a bool mask"):
        evaluate(corrkd(MODALITIES), split, oracle, SEEDS, numbers)


def test_what_is_missing_by_hand():
    """Padding, and modalities that a sample never had, are not missing."""
    valid = {
        "audio": np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], bool),
        "vision": np.array([[1, 1], [1, 0], [1, 1]], bool),
    }
    masks = {
        "audio": np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]], bool),
        "vision": np.array([[1, 1], [0, 0], [0, 1]], bool),
    }
    assert missing_shares(masks, valid) == {"frames": 6 / 10, "modalities": 2 / 5}
    assert missing_shares(valid, valid) == {"frames": 0, "modalities": 0}
    nothing = {m: np.zeros_like(v) for m, v in valid.items()}
    assert missing_shares(nothing, valid) == {"frames": 1, "modalities": 1}
    assert missing_shares(nothing, nothing) == {"frames": None, "modalities": None}
