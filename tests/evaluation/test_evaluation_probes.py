"""Probes of whole networks: codes whose content is known, real ones, and samples that lack some."""

import dataclasses
import json

import numpy as np
import pytest

from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.evaluation.probes.inputs import latents_of
from fsrf_jax.evaluation.probes.probe import probe
from fsrf_jax.types import Codes

MODALITIES = ("language", "audio", "vision")
N = 300
OPTIONS = SyntheticOptions(test=N, frames=2, min_frames=1)


def known_codes(latents, available=None):
    """H holds u, S holds u and w in turns, N holds r; `available` [n] of audio."""
    rng = np.random.default_rng(0)
    n = len(latents["u"])
    here = {m: np.ones(n, np.float32) for m in MODALITIES}
    if available is not None:
        here["audio"] = available
    mix = rng.normal(size=(4, 5))
    s = {m: np.hstack([2 * latents[f"w_{m}"], latents["u"][:, :1]]) for m in MODALITIES}
    return Codes(
        available=here,
        pooled={},
        homogeneous=dict.fromkeys(MODALITIES, latents["u"] @ mix),
        heterogeneous={m: s[m] @ rng.normal(size=(2, 5)) + i for i, m in enumerate(MODALITIES)},
        noise={m: latents[f"r_{m}"] @ rng.normal(size=(2, 5)) for m in MODALITIES},
        noise_moments={},
        fused=np.zeros((n, 5)),
    )


@pytest.fixture(scope="module")
def world():
    return make_world(OPTIONS, MODALITIES)


@pytest.fixture(scope="module")
def latents(world):
    return latents_of(world, [f"test/{i:05d}" for i in range(N)])


@pytest.fixture(scope="module")
def label(world):
    return sample(world, "test", N)[0].labels[:, None]


def test_codes_of_known_content_are_recognised(latents, label):
    found = probe(known_codes(latents), MODALITIES, label, latents)
    shares, decoded = found["variance_shares"], found["decoding"]
    for m in MODALITIES:
        assert shares["H"][m]["u"] > 0.97
        assert shares["N"][m]["r"] > 0.97
        assert shares["S"][m]["w"] + shares["S"][m]["u"] > 0.97
        assert abs(shares["S"][m]["r"]) + abs(shares["S"][m]["others"]) < 0.02
        assert decoded["H"][m]["u"] > 0.75
        assert decoded["H"][m]["w"] < 0.05
        assert decoded["N"][m]["r"] > 0.9
        assert decoded["N"][m]["label"] < 0.05
    assert found["modality_identity"]["H"] == pytest.approx(1 / 3, abs=0.05)
    assert found["modality_identity"]["S"] > 0.6
    assert found["chance"] == pytest.approx(1 / 3)
    names, matrix = found["cka"]["names"], found["cka"]["matrix"]
    assert names[:4] == ["H language", "H audio", "H vision", "S language"]
    assert matrix[0][1] == pytest.approx(1.0)
    assert matrix[0][8] < 0.1
    np.testing.assert_allclose(matrix, np.transpose(matrix))


def test_results_are_json_and_their_means_go_over_modalities(latents, label):
    found = probe(known_codes(latents), MODALITIES, label, latents)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for table in ("variance", "variance_shares", "normalised", "decoding", "label"):
        for kind in "HSN":
            for name, mean in found["mean"][table][kind].items():
                each = [found[table][kind][m][name] for m in MODALITIES]
                assert mean == pytest.approx(np.mean(each))
    assert found["n"] == N
    assert found["label"]["H"]["audio"]["label"] == found["decoding"]["H"]["audio"]["label"]


def test_shares_of_others_are_told_from_a_modalitys_own(latents, label):
    codes = known_codes(latents)
    turned = dict(
        zip(MODALITIES, [codes.noise[m] for m in ("vision", "audio", "language")], strict=True)
    )
    found = probe(codes.replace(noise=turned), MODALITIES, label, latents)["variance_shares"]["N"]
    assert found["language"]["others"] > 0.97
    assert abs(found["language"]["r"]) < 0.02
    assert found["audio"]["r"] > 0.97


def test_samples_without_a_modality_do_not_count_for_it(latents, label):
    available = (np.arange(N) % 3 > 0).astype(np.float32)
    codes = known_codes(latents, available)
    empty = {
        field: {**getattr(codes, field), "audio": getattr(codes, field)["audio"] * 0}
        for field in ("homogeneous", "heterogeneous", "noise")
    }
    gone = dataclasses.replace(
        codes,
        **{
            field: {**table, "audio": np.where(available[:, None] > 0, x, 0)}
            for field, table in empty.items()
            for x in [getattr(codes, field)["audio"]]
        },
    )
    first = probe(codes, MODALITIES, label, latents)
    assert probe(gone, MODALITIES, label, latents) == first
    here = available > 0
    rows = Codes(
        **{
            field: {m: x[here] for m, x in getattr(codes, field).items()}
            for field in ("available", "homogeneous", "heterogeneous", "noise")
        },
        pooled={},
        noise_moments={},
        fused=codes.fused[here],
    )
    few = probe(rows, MODALITIES, label[here], {k: x[here] for k, x in latents.items()})
    for table in ("variance_shares", "decoding", "label", "variance"):
        assert few[table]["S"]["audio"] == pytest.approx(first[table]["S"]["audio"])
    assert few["cka"]["matrix"][0][1] == pytest.approx(first["cka"]["matrix"][0][1])


def test_codes_that_vanished_are_undefined_and_seen(latents, label):
    codes = known_codes(latents)
    gone = codes.replace(noise={**codes.noise, "audio": np.zeros((N, 5))})
    found = probe(gone, MODALITIES, label, latents)
    assert set(found["variance_shares"]["N"]["audio"].values()) == {None}
    assert found["variance"]["N"]["audio"] == {"total": 0.0}
    assert found["decoding"]["N"]["audio"]["label"] == 0.0
    assert found["mean"]["variance_shares"]["N"]["r"] > 0.97
    assert found["cka"]["matrix"][7][7] is None
    assert json.dumps(found, allow_nan=False)


def test_a_modality_that_nobody_has_is_undefined(latents, label):
    found = probe(known_codes(latents, np.zeros(N, np.float32)), MODALITIES, label, latents)
    assert found["variance"]["H"]["audio"] == {"total": None}
    assert set(found["decoding"]["H"]["audio"].values()) == {None}
    assert found["modality_identity"] == {"H": None, "S": None, "N": None}
    assert json.dumps(found, allow_nan=False)


def test_without_latents_there_is_what_any_data_allow(latents, label):
    found = probe(known_codes(latents), MODALITIES, label)
    assert set(found["mean"]) == {"variance", "label"}
    assert not {"variance_shares", "normalised", "decoding"} & set(found)
    assert found["label"]["H"]["vision"]["label"] > 0.3
    assert found["label"]["N"]["vision"]["label"] < 0.05
