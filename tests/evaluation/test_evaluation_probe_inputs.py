"""Codes of a split, latents by sample id, labels as columns."""

import dataclasses

import jax
import numpy as np
import pytest

from fsrf_jax import models
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.folds import fold_split
from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.probes.inputs import encode, label_columns, latents_of, make_encoder
from fsrf_jax.evaluation.probes.probe import probe_network
from fsrf_jax.training import build, sharding

MODALITIES = ("language", "audio", "vision")
N = 21
OPTIONS = SyntheticOptions(train=9, valid=7, test=N, frames=3, min_frames=2)
NETWORK = models.Network(
    modalities=MODALITIES, width=4, heads=1, encoder_layers=0, fusion_layers=1, expansion=1
)


@pytest.fixture(scope="module")
def world():
    return make_world(OPTIONS, MODALITIES)


@pytest.fixture(scope="module")
def split(world):
    drawn = sample(world, "test", N)[0]
    drawn.valid["audio"][4] = False  # a sample without audio
    return drawn


@pytest.fixture(scope="module")
def parameters(split):
    batch = build.make_batch(split.head(2))
    inputs = batch.features, batch.valid, batch.valid
    return jax.jit(lambda key: NETWORK.init(key, *inputs, train=False))(jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def codes(split, parameters):
    return encode(NETWORK, sharding.data_mesh(), parameters, split, 8)


def test_codes_are_those_of_the_network_whatever_the_batch(split, parameters, codes):
    batch = build.make_batch(split)
    expected, _ = jax.jit(
        lambda p: NETWORK.apply(
            {"params": p}, batch.features, batch.valid, batch.valid, train=False
        )
    )(parameters)
    for found, code in zip(jax.tree.leaves(codes), jax.tree.leaves(expected), strict=True):
        assert isinstance(found, np.ndarray)
        assert found.shape == code.shape
        np.testing.assert_allclose(found, code, rtol=1e-4, atol=1e-6)
    assert codes.homogeneous["audio"].shape == (N, 4)
    assert codes.available["audio"].sum() == N - 1
    assert not codes.noise["audio"][4].any()


def test_codes_are_of_what_is_observed(split, parameters, codes):
    encoder = make_encoder(NETWORK, sharding.data_mesh(), parameters, split, 8)
    whole = encoder(split.valid)
    for found, code in zip(jax.tree.leaves(whole), jax.tree.leaves(codes), strict=True):
        np.testing.assert_array_equal(found, code)
    silent = encoder({**split.valid, "audio": np.zeros_like(split.valid["audio"])})
    assert not silent.available["audio"].any()
    assert not silent.homogeneous["audio"].any()
    np.testing.assert_array_equal(silent.pooled["vision"], codes.pooled["vision"])
    assert codes.homogeneous["audio"].any()


def test_broken_codes_are_refused(split, parameters):
    broken = jax.tree.map(lambda x: x * np.nan, parameters)
    with pytest.raises(UserError, match="training has diverged"):
        encode(NETWORK, sharding.data_mesh(), broken, split, 8)


def test_a_network_is_probed_with_and_without_latents(split, parameters, world, codes):
    found = probe_network(NETWORK, sharding.data_mesh(), parameters, split, 8, world)
    shares = found["variance_shares"]["H"]["language"]
    assert set(shares) == {"u", "w", "r", "others", "rest"}
    assert sum(shares.values()) == pytest.approx(1)
    assert found["modalities"] == list(MODALITIES)
    assert found["variance"]["N"]["vision"]["total"] == pytest.approx(
        np.var(codes.noise["vision"], axis=0).sum(), rel=1e-5
    )
    unknown = probe_network(NETWORK, sharding.data_mesh(), parameters, split, 8, None)
    assert unknown["label"] == found["label"]
    assert "variance_shares" not in unknown


def test_latents_explain_the_labels(world):
    options = dataclasses.replace(OPTIONS, valid=400)
    world = make_world(options, MODALITIES)
    drawn = sample(world, "valid", 400)[0]
    latents = latents_of(world, list(drawn.ids))
    signal = latents["u"] @ world.shared_weights
    signal += sum(latents[f"w_{m}"] @ world.private_weights[m] for m in MODALITIES)
    assert np.std(drawn.labels - signal) == pytest.approx(world.label_noise, rel=0.15)
    for m in MODALITIES:
        x = drawn.features[m].sum(1)
        assert abs(np.corrcoef(x @ world.irrelevant[m][:, 0], latents[f"r_{m}"][:, 0])[0, 1]) > 0.5


def test_latents_follow_ids_over_splits_and_folds(world):
    splits = {name: sample(world, name, count)[0] for name, count in
              (("train", 9), ("valid", 7), ("test", N))}  # fmt: skip
    dealt = fold_split(Dataset(splits), folds=3, fold=1, pooled=("valid", "test"), seed=5)
    ids = list(dealt.splits["test"].ids)
    assert {i.split("/")[0] for i in ids} == {"valid", "test"}
    found = latents_of(world, ids)
    assert set(found) == {"u", *(f"{kind}_{m}" for kind in "wr" for m in MODALITIES)}
    drawn = {name: sample(world, name, len(split))[1] for name, split in splits.items()}
    for row, i in enumerate(ids):
        name, number = i.split("/")
        np.testing.assert_array_equal(found["u"][row], drawn[name].shared[int(number)])
        np.testing.assert_array_equal(
            found["w_audio"][row], drawn[name].private["audio"][int(number)]
        )
        np.testing.assert_array_equal(
            found["r_vision"][row], drawn[name].irrelevant["vision"][int(number)]
        )


@pytest.mark.parametrize("i", ["seed/00000", "test/00021", "test/", "00003", "video_7", "test/-1"])
def test_an_unknown_id_is_refused(world, i):
    with pytest.raises(ValueError, match="found the id"):
        latents_of(world, ["test/00000", i])


def test_labels_become_columns():
    labels = np.float32([0, 2, 2])
    np.testing.assert_array_equal(label_columns("number", labels), [[0], [2], [2]])
    np.testing.assert_array_equal(label_columns("gaussian", labels), [[0], [2], [2]])
    np.testing.assert_array_equal(label_columns("class", labels), [[1, 0], [0, 1], [0, 1]])
    tasks = np.float32([[0, 1], [1, 1], [1, 0]])
    np.testing.assert_array_equal(label_columns("binary", tasks), tasks)
