"""Codes of incomplete views against the complete ones: by hand, by scikit-learn, in parts."""

import numpy as np
import pytest
from evaluation_case import corrkd_at
from scipy.stats import rankdata
from sklearn.metrics.pairwise import cosine_similarity

from fsrf_jax.evaluation.probes import code_recovery as module
from fsrf_jax.evaluation.probes.code_recovery import FIGURES, code_recovery, measure_protocol
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.probes_tables import recovery_document

MODALITIES = ("language", "audio", "vision")


@pytest.mark.parametrize("rows", [512, 7])
def test_figures_equal_a_whole_matrix_whatever_the_chunk(rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    rng = np.random.default_rng(0)
    complete = rng.normal(size=(50, 6))
    incomplete = complete + rng.normal(size=(50, 6))
    similarity = cosine_similarity(incomplete, complete)
    ranks = np.diag(rankdata(-similarity, axis=1))
    found = code_recovery(incomplete, complete)
    assert found == pytest.approx(
        {
            "cosine": np.diag(similarity).mean(),
            "median_rank": np.median(ranks),
            "recall_at_1": np.mean(ranks <= 1),
            "recall_at_10": np.mean(ranks <= 10),
        }
    )
    assert 1 < found["median_rank"] < 25


def test_the_same_codes_are_found_at_once_and_length_does_not_matter():
    codes = np.random.default_rng(1).normal(size=(30, 8))
    found = code_recovery(3 * codes, codes)
    assert found == pytest.approx(
        {"cosine": 1.0, "median_rank": 1.0, "recall_at_1": 1.0, "recall_at_10": 1.0}
    )


def test_a_code_that_knows_nothing_is_at_chance():
    complete = np.random.default_rng(2).normal(size=(41, 5))
    constant = np.tile(complete.mean(axis=0), (41, 1))
    found = code_recovery(constant, complete)
    assert found["median_rank"] == 21
    assert found["recall_at_1"] == pytest.approx(1 / 41)
    same = np.ones((41, 5))  # and nothing to tell apart: all tie
    assert code_recovery(same, same)["median_rank"] == 21


def test_a_code_without_direction_and_no_code_are_undefined():
    codes = np.random.default_rng(3).normal(size=(4, 3))
    assert code_recovery(codes * [[1], [0], [1], [1]], codes) == dict.fromkeys(FIGURES)
    assert code_recovery(codes[:0], codes[:0]) == dict.fromkeys(FIGURES)
    with pytest.raises(ValueError, match="one shape"):
        code_recovery(codes, codes[:2])


def test_every_condition_of_a_protocol_is_measured_against_the_complete_view():
    rng = np.random.default_rng(4)
    parts = {m: rng.normal(size=(40, 4)) for m in MODALITIES}
    valid = {m: np.ones((40, 5), bool) for m in MODALITIES}
    asked = []

    def encode(observed):
        asked.append(observed)
        shares = {m: mask.mean(axis=1, keepdims=True) for m, mask in observed.items()}
        return 0.01 + np.concatenate([shares[m] * parts[m] for m in MODALITIES], axis=1)

    def observe(condition, seed):
        noise = np.random.default_rng(seed)
        return {
            m: (noise.random(v.shape) >= condition.rate) & (m in condition.subset)
            for m, v in valid.items()
        }

    protocol = corrkd_at(0.5, 1.0)
    found = measure_protocol(encode, protocol, (0, 7), observe, valid)
    assert len(asked) == 1 + 7 + 2 * 2
    entries = {entry["name"]: entry for entry in found["conditions"]}
    assert list(entries) == [condition.name for condition in protocol.conditions]
    assert entries["language+audio+vision"]["metrics"]["recall_at_1"] == 1.0
    one, both = entries["language"]["metrics"], entries["language+audio"]["metrics"]
    assert one["cosine"] < both["cosine"] < 1
    seeds = entries["rate=0.5"]["metrics_per_mask_seed"]
    assert seeds[0] != seeds[1]
    expected = code_recovery(encode(observe(protocol.conditions[-2], 7)), encode(valid))
    assert seeds[1] == expected
    assert entries["rate=0.5"]["metrics"]["cosine"] == pytest.approx(
        (seeds[0]["cosine"] + seeds[1]["cosine"]) / 2
    )
    assert found["chance"]["median_rank"] == 20.5
    text = to_markdown(recovery_document(found))
    assert "|language+audio+vision|1.000|1.0|100.0|100.0|" in text
    assert "|**chance**|**-**|**20.5**|**2.5**|**25.0**|" in text
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 80
