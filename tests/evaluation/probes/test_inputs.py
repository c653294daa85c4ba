"""Latents by sample id, labels as columns, and the probes of a split by a real network."""

import dataclasses

import jax
import numpy as np
import pytest

from fsrf_jax import inference, options, sharding
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.folds import fold_split
from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.probes.inputs import label_columns, latents_of
from fsrf_jax.evaluation.probes.probe import KINDS, probe, probe_split
from fsrf_jax.losses.task import Task, TaskOptions
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.models.options import ModelOptions

MODALITIES = ("language", "audio", "vision")
N = 21
OPTIONS = SyntheticOptions(train=9, valid=7, test=N, frames=3, min_frames=2)
SETTING = Setting(Task(), ModelOptions(width=4, heads=1, encoder_layers=0, expansion=1))


@pytest.fixture(scope="module")
def world():
    return make_world(OPTIONS, MODALITIES)


@pytest.fixture(scope="module")
def split(world):
    drawn = sample(world, "test", N)[0]
    drawn.valid["audio"][4] = False  # a sample without audio
    return drawn


@pytest.fixture(scope="module")
def encoder(split):
    method, _ = options.split(Fsrf())
    example = inference.make_batch(split.head(2))
    init = jax.jit(lambda key: method.init(SETTING, example, key)["inference"])
    mesh, parameters = sharding.data_mesh(), init(jax.random.key(0))
    return inference.make_encoder(method, SETTING, mesh, parameters, split, 8)


@pytest.fixture(scope="module")
def codes(split, encoder):
    return encoder(split.valid)


def test_codes_are_of_what_is_observed(split, encoder, codes):
    audio, vision = (codes.modalities.index(m) for m in ("audio", "vision"))
    assert codes.available[audio].sum() == N - 1
    assert not codes.noise[audio, 4].any()
    silent = encoder({**split.valid, "audio": np.zeros_like(split.valid["audio"])})
    assert not silent.available[audio].any()
    assert not silent.homogeneous[audio].any()
    np.testing.assert_array_equal(silent.pooled[vision], codes.pooled[vision])
    assert codes.homogeneous[audio].any()


def test_a_split_is_probed_with_and_without_latents(split, world, codes):
    found = probe_split(codes, MODALITIES, split, SETTING.task, world)
    shares = found["variance_shares"]["H"]["language"]
    assert set(shares) == {"u", "w", "r", "others", "rest"}
    assert sum(shares.values()) == pytest.approx(1)
    assert found["modalities"] == list(MODALITIES)
    assert found["n"] == N
    vision = codes.noise[codes.modalities.index("vision")]
    assert found["variance"]["N"]["vision"]["total"] == pytest.approx(
        np.var(vision, axis=0).sum(), rel=1e-5
    )
    unknown = probe_split(codes, MODALITIES, split, SETTING.task, None)
    assert unknown["label"] == found["label"]
    assert "variance_shares" not in unknown
    label = label_columns(SETTING.task, split.labels)
    assert found == probe(codes, MODALITIES, label, latents_of(world, list(split.ids)))


def test_a_sample_without_a_modality_is_left_out_of_its_codes(split, codes):
    audio = codes.modalities.index("audio")
    found = probe_split(codes, MODALITIES, split, SETTING.task, None)["variance"]["N"]["audio"]
    there = np.delete(codes.noise[audio], 4, axis=0)
    assert found["total"] == pytest.approx(np.var(there, axis=0).sum(), rel=1e-5)


def test_classes_are_probed_as_columns(split, codes):
    classes = dataclasses.replace(split, labels=(np.arange(N) % 3).astype(np.float32))
    task = TaskOptions("cross_entropy")
    found = probe_split(codes, MODALITIES, classes, task, None)
    assert found == probe(codes, MODALITIES, np.eye(3)[np.arange(N) % 3])
    as_numbers = probe_split(codes, MODALITIES, classes, TaskOptions("mse"), None)
    assert found["label"] != as_numbers["label"]


def test_a_split_is_probed_for_the_codes_that_there_are(split, world, codes):
    some = codes.replace(noise=None, pooled=None, fused=None)
    found = probe_split(some, MODALITIES, split, SETTING.task, world)
    assert set(found["variance_shares"]) == {"H", "S"}
    none = codes.replace(**dict.fromkeys(KINDS.values()))
    with pytest.raises(UserError, match="codes to probe"):
        probe_split(none, MODALITIES, split, SETTING.task, world)


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


@pytest.mark.parametrize("kind", ["l1", "mse", "huber", "gaussian"])
def test_numbers_are_one_column(kind):
    labels = np.float32([0, 2, 2])
    np.testing.assert_array_equal(label_columns(TaskOptions(kind), labels), [[0], [2], [2]])


def test_classes_and_tasks_become_columns():
    classes, tasks = TaskOptions("cross_entropy"), TaskOptions("binary_cross_entropy")
    labels = np.float32([0, 2, 2])
    np.testing.assert_array_equal(label_columns(classes, labels), [[1, 0], [0, 1], [0, 1]])
    labels = np.float32([[0, 1], [1, 1], [1, 0]])
    np.testing.assert_array_equal(label_columns(tasks, labels), labels)
