"""What is special to each term; what all terms keep is in `test_terms.py`."""

import jax
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import reconstruction
from fsrf_jax.losses.reconstruction import mean_frame

BATCH = reference.example_batch()
TARGET = {m: np.asarray(mean_frame(BATCH.features[m], BATCH.present[m])) for m in BATCH.features}
WEIGHTS = np.asarray(BATCH.weights)
ALL = np.ones((3, 16), np.float32)


def test_mean_frame():
    features = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    valid = np.array([[True, False, True, False], [False] * 4])
    expected_bf = np.stack([(features[0, 0] + features[0, 2]) / 2, np.zeros(3)])
    np.testing.assert_allclose(jax.jit(mean_frame)(features, valid), expected_bf)


def test_a_padding_frame_may_hold_anything():
    features = np.ones((1, 2, 3), np.float32)
    features[0, 1] = np.nan
    target_bf = mean_frame(features, np.array([[True, False]]))
    np.testing.assert_array_equal(target_bf, np.ones((1, 3)))


def test_own_is_per_feature():
    off_by_2 = {m: x + 2 for m, x in TARGET.items()}
    term = reconstruction.direct(off_by_2, TARGET, ALL * WEIGHTS)
    np.testing.assert_allclose(term.value, 4, rtol=1e-5)
    assert term.weight == 3 * WEIGHTS.sum()


def test_weights_follow_the_sorted_names():
    off_by = {"vision": 5, "audio": 1, "language": 3}
    decoded = {m: TARGET[m] + e for m, e in off_by.items()}
    weights_mb = np.array([[1.0], [0.0], [2.0]], np.float32) * WEIGHTS
    term = reconstruction.direct(decoded, TARGET, weights_mb)
    np.testing.assert_allclose(term, ((1 + 25) / 2, 3 * WEIGHTS.sum()), rtol=1e-5)


@pytest.mark.parametrize(
    ("absent", "errors"),
    [
        (None, (1, 4, 9, 16, 25, 36)),
        ("audio", (16, 36)),  # language from vision, and vision from language
        ("language", (4, 25)),  # audio from vision, and vision from audio
        ("vision", (1, 9)),
    ],
)
def test_crossed_reads_the_sources_in_the_order_of_their_names(absent, errors):
    """Every decoding is off by another number, which tells the source."""
    available_mb = np.stack([ALL[0] * (m != absent) for m in reference.NAMES])
    off_by = {"audio": (1, 2), "language": (3, 4), "vision": (5, 6)}
    decoded = {m: np.stack([TARGET[m] + e for e in off_by[m]], axis=1) for m in off_by}
    term = reconstruction.crossed(decoded, TARGET, available_mb, WEIGHTS)
    np.testing.assert_allclose(term.value, np.mean(errors), rtol=1e-5)
    assert term.weight == len(errors) * WEIGHTS.sum()


def test_crossed_of_two_modalities():
    decoded = {m: TARGET[m][:, None] + 3 for m in ("audio", "vision")}
    term = reconstruction.crossed(decoded, TARGET, ALL[:2], WEIGHTS)
    np.testing.assert_allclose(term, (9, 2 * WEIGHTS.sum()), rtol=1e-5)
