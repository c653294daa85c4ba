"""Probes of codes whose content is known, of samples that lack some, and of methods that do."""

import json

import numpy as np
import pytest

from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.probes.inputs import latents_of
from fsrf_jax.evaluation.probes.probe import KINDS, probe
from fsrf_jax.types import Codes

MODALITIES = ("language", "audio", "vision")  # the order of the results, not that of the axis m
SORTED = tuple(sorted(MODALITIES))
AUDIO = SORTED.index("audio")
N = 300
OPTIONS = SyntheticOptions(test=N, frames=2, min_frames=1)


def known_codes(latents, available=None):
    """H holds u, S holds u and w in turns, N holds r; `available` [n] of audio."""
    rng = np.random.default_rng(0)
    n = len(latents["u"])
    here = np.ones((len(SORTED), n), np.float32)
    if available is not None:
        here[AUDIO] = available
    mix = rng.normal(size=(4, 5))
    s = {m: np.hstack([2 * latents[f"w_{m}"], latents["u"][:, :1]]) for m in MODALITIES}
    by_kind = {
        "homogeneous": dict.fromkeys(MODALITIES, latents["u"] @ mix),
        "heterogeneous": {m: s[m] @ rng.normal(size=(2, 5)) + i for i, m in enumerate(MODALITIES)},
        "noise": {m: latents[f"r_{m}"] @ rng.normal(size=(2, 5)) for m in MODALITIES},
    }
    stacked = {kind: np.stack([codes[m] for m in SORTED]) for kind, codes in by_kind.items()}
    return Codes(modalities=SORTED, available=here, fused=np.zeros((n, 5)), **stacked)


def with_audio(code_mnd, audio_nd):
    """The code with that of audio replaced."""
    changed = code_mnd.copy()
    changed[AUDIO] = audio_nd
    return changed


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
    place = {m: i for i, m in enumerate(SORTED)}
    turned = codes.noise[[place[m] for m in ("audio", "vision", "language")]]
    found = probe(codes.replace(noise=turned), MODALITIES, label, latents)["variance_shares"]["N"]
    assert found["language"]["others"] > 0.97
    assert abs(found["language"]["r"]) < 0.02
    assert found["audio"]["r"] > 0.97


def test_samples_without_a_modality_do_not_count_for_it(latents, label):
    available = (np.arange(N) % 3 > 0).astype(np.float32)
    codes = known_codes(latents, available)
    here = available > 0
    gone = codes.replace(
        **{
            field: with_audio(code, np.where(here[:, None], code[AUDIO], 0))
            for field in KINDS.values()
            for code in [getattr(codes, field)]
        }
    )
    first = probe(codes, MODALITIES, label, latents)
    assert probe(gone, MODALITIES, label, latents) == first
    rows = codes.replace(
        available=codes.available[:, here],
        fused=codes.fused[here],
        **{field: getattr(codes, field)[:, here] for field in KINDS.values()},
    )
    few = probe(rows, MODALITIES, label[here], {k: x[here] for k, x in latents.items()})
    for table in ("variance_shares", "decoding", "label", "variance"):
        assert few[table]["S"]["audio"] == pytest.approx(first[table]["S"]["audio"])
    assert few["cka"]["matrix"][0][1] == pytest.approx(first["cka"]["matrix"][0][1])


def test_codes_that_vanished_are_undefined_and_seen(latents, label):
    codes = known_codes(latents)
    gone = codes.replace(noise=with_audio(codes.noise, np.zeros((N, 5))))
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


def test_results_follow_the_names_and_not_the_axis(latents, label):
    codes = known_codes(latents)
    found = probe(codes, MODALITIES, label, latents)
    assert found["modalities"] == list(MODALITIES)
    for m in MODALITIES:
        total = np.var(codes.heterogeneous[SORTED.index(m)], axis=0).sum()
        assert found["variance"]["S"][m]["total"] == pytest.approx(total)
    few = probe(codes, ("vision", "audio"), label, latents)
    assert few["variance"]["S"] == {m: found["variance"]["S"][m] for m in ("vision", "audio")}
    assert few["cka"]["names"][:3] == ["H vision", "H audio", "S vision"]


@pytest.mark.parametrize("with_latents", [True, False])
@pytest.mark.parametrize("has", ["H", "S", "N", "HN"])
def test_a_code_that_the_method_does_not_have_has_no_figures(latents, label, has, with_latents):
    codes = known_codes(latents)
    sought = (MODALITIES, label, latents if with_latents else None)
    whole = probe(codes, *sought)
    some = codes.replace(**{field: None for kind, field in KINDS.items() if kind not in has})
    found = probe(some, *sought)
    assert set(found) == set(whole)
    tables = list(whole["mean"])
    assert len(tables) == (5 if with_latents else 2)
    for table in tables:  # what is there is as it would be beside the others
        assert found[table] == {kind: whole[table][kind] for kind in has}
        assert found["mean"][table] == {kind: whole["mean"][table][kind] for kind in has}
    identity = whole["modality_identity"]
    assert found["modality_identity"] == {kind: identity[kind] for kind in has}
    names = [f"{kind} {m}" for kind in has for m in MODALITIES]
    assert found["cka"]["names"] == names
    place = [whole["cka"]["names"].index(name) for name in names]
    np.testing.assert_array_equal(
        found["cka"]["matrix"], np.array(whole["cka"]["matrix"])[np.ix_(place, place)]
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_method_with_none_of_the_codes_has_nothing_to_probe(latents, label):
    bare = known_codes(latents).replace(**dict.fromkeys(KINDS.values()))
    assert bare.fused is not None
    with pytest.raises(UserError, match="no homogeneous, heterogeneous or noise codes to probe"):
        probe(bare, MODALITIES, label, latents)
