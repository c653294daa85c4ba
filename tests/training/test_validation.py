import dataclasses

import numpy as np
import training_case as case

from fsrf_jax.data.dataset import Split
from fsrf_jax.missing import Missing
from fsrf_jax.training.validation import make_validation, under_masks


def make_split(order=slice(None)):
    batch = case.make_batch()
    return Split(
        ids=np.array([f"video_{i}" for i in range(case.SAMPLES)])[order],
        features={m: np.asarray(x, np.float64)[order] for m, x in batch.features.items()},
        valid={m: np.asarray(v)[order] for m, v in batch.valid.items()},
        labels=np.asarray(batch.labels)[order],
    )


def test_validation_masks_belong_to_the_sample():
    order = np.random.default_rng(0).permutation(case.SAMPLES)
    validation = make_validation(make_split(), Missing(), 3)
    other = make_validation(make_split(order), Missing(), 3)
    for m, t in case.FRAMES.items():
        observed = np.asarray(validation.observed[m])
        assert observed.shape == (3, case.SAMPLES, t)
        assert not (observed & ~np.asarray(validation.batch.valid[m])).any()
        np.testing.assert_array_equal(other.observed[m], observed[:, order])
        assert (observed[0] != observed[1]).any()


def test_validation_masks_follow_the_missingness():
    whole = make_validation(make_split(), Missing(max_rate=0.0, modality_rate=0.0), 2)
    for m in case.FRAMES:
        np.testing.assert_array_equal(whole.observed[m][1], whole.batch.valid[m])
    one = make_validation(make_split(), Missing(subset_weights={"audio": 1.0}), 1)
    assert not one.observed["language"].any()
    assert one.observed["audio"].any()


def test_validation_masks_show_what_is_present_alone():
    whole = make_split()
    present = {m: v.copy() for m, v in whole.valid.items()}
    for mask in present.values():
        mask[:, 0] = False
    gappy = dataclasses.replace(whole, present=present)
    found = make_validation(gappy, Missing(), 3)
    for masks in found.observed.values():
        assert not np.asarray(masks)[:, :, 0].any()


def test_given_masks_are_kept_in_their_order():
    split = make_split()
    nothing = {m: np.zeros_like(v) for m, v in split.valid.items()}
    found = under_masks(split, [split.valid, nothing])
    for m, valid in split.valid.items():
        np.testing.assert_array_equal(found.observed[m], [valid, nothing[m]])
