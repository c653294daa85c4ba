"""Masks as a file: read back as they were, the same bytes twice, and what is refused."""

import dataclasses
import json
import time

import chex
import numpy as np
import pytest

from fsrf_jax.data.dataset import Split
from fsrf_jax.errors import DataError
from fsrf_jax.evaluation.protocols.mask_files import observer_of, read_masks, write_masks
from fsrf_jax.evaluation.protocols.masks import make_observer, masks_digest
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS

LENGTHS = {"language": 4, "audio": 11, "vision": 8}
SEEDS = (0, 7)


def make_split(n=9):
    rng = np.random.default_rng(0)
    valid = {m: rng.random((n, t)) < 0.7 for m, t in LENGTHS.items()}
    features = {m: np.zeros((*v.shape, 1), np.float32) for m, v in valid.items()}
    ids = np.array([f"video$_${i}" for i in range(n)])
    return Split(ids, features, valid, np.zeros(n, np.float32))


def write(path, name="gcnet", split=None):
    split = make_split() if split is None else split
    protocol, observe = PROTOCOLS[name](tuple(LENGTHS)), make_observer(split, SEEDS)
    return write_masks(path, protocol, split, SEEDS, observe, "test", "abc")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_masks_are_read_back_as_they_were(tmp_path, name):
    split, path = make_split(), tmp_path / "masks.npz"
    digest = write(path, name)
    file = read_masks(path)
    protocol, observe = PROTOCOLS[name](tuple(LENGTHS)), make_observer(split, SEEDS)
    assert file.protocol == protocol
    assert (file.split, file.data_fingerprint, file.mask_seeds) == ("test", "abc", SEEDS)
    assert file.digest == digest
    assert digest == masks_digest(protocol.conditions, SEEDS, split.ids, split.valid, observe)
    rows = np.arange(9)[::-1]
    turned = dataclasses.replace(
        split, ids=split.ids[rows], valid={m: v[rows] for m, v in split.valid.items()}
    )
    found, other = observer_of(file, split, path), observer_of(file, turned, path)
    for condition in protocol.conditions:
        for seed in SEEDS:
            masks = observe(condition, seed)
            chex.assert_trees_all_equal(found(condition, seed), masks)
            chex.assert_trees_all_equal(
                other(condition, seed), {m: mask[rows] for m, mask in masks.items()}
            )


def test_any_program_can_read_the_file(tmp_path):
    split, path = make_split(), tmp_path / "masks.npz"
    write(path)
    with np.load(path, allow_pickle=False) as file:
        assert file["ids"].tolist() == split.ids.tolist()
        assert file["conditions"][:2].tolist() == ["mr=0.0", "mr=0.1"]
        assert json.loads(str(file["protocol"]))["name"] == "gcnet"
        for m, t in zip(file["modalities"], file["frames"], strict=True):
            assert t == LENGTHS[m]
            np.testing.assert_array_equal(file[f"lengths_{m}"], split.valid[m].sum(axis=1))
            valid = np.unpackbits(file[f"valid_{m}"], axis=-1, count=t).astype(bool)
            np.testing.assert_array_equal(valid, split.valid[m])
            observed = np.unpackbits(file[f"observed_{m}"], axis=-1, count=t)
            assert observed.shape == (14, 2, 9, t)
            np.testing.assert_array_equal(observed[0, 1], valid)  # nothing missing


def test_the_same_bytes_twice_at_any_time(tmp_path, monkeypatch):
    write(tmp_path / "one.npz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def damaged(tmp_path, **changes):
    path = tmp_path / "masks.npz"
    write(path)
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


def flip(bits):
    bits = bits.copy()
    place = tuple(np.argwhere(bits)[0])
    bits[place] &= bits[place] - 1  # clears its lowest bit
    return bits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observed_audio": flip}, "masks_digest: found .* the file is damaged or was changed"),
        ({"masks_digest": lambda _: np.array("0")}, "masks_digest: found 0, but the masks have"),
        ({"mask_seeds": lambda x: x + 1}, "masks_digest: found"),
        ({"ids": lambda x: np.append("other", x[1:])}, "masks_digest: found"),
        ({"ids": lambda x: np.append(x[1], x[1:])}, "ids: expected one or more ids, each once"),
        (
            {"ids": lambda x: x[1:]},
            r"valid_language: found uint8 \(9, 1\), expected uint8 \(8, 1\)",
        ),
        (
            {"observed_audio": lambda x: x[:, :1]},
            r"observed_audio: found .* expected uint8 \(14, 2",
        ),
        ({"observed_audio": lambda x: x.astype(int)}, "observed_audio: found int64"),
        ({"observed_audio": lambda x: x | 255}, "observed_audio: shows frames that valid_audio"),
        ({"observed_audio": lambda _: None}, "found no array observed_audio, expected masks made"),
        ({"lengths_audio": lambda x: x + 1}, "lengths_audio: are not those of valid_audio"),
        ({"frames": lambda x: x[:2]}, "frames or mask_seeds"),
        ({"protocol": lambda _: np.array("{")}, "protocol: .* Export the masks again"),
        ({"protocol": lambda _: np.array("{}")}, "protocol: .* expected a key name"),
        ({"protocol": lambda _: None}, "found no array protocol"),
    ],
)
def test_damaged_files_are_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        read_masks(damaged(tmp_path, **changes))
    assert "masks.npz" in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="found no such file"):
        read_masks(tmp_path / "masks.npz")
    (tmp_path / "masks.npz").write_text("text")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_masks(tmp_path / "masks.npz")
    np.savez(tmp_path / "masks.npz", ids=np.array([{}], object))
    with pytest.raises(DataError, match="an array of Python objects"):
        read_masks(tmp_path / "masks.npz")
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(DataError, match="one array without a name"):
        read_masks(tmp_path / "x.npy")


def test_masks_of_other_data_are_refused(tmp_path):
    split, path = make_split(), tmp_path / "masks.npz"
    write(path)
    file = read_masks(path)
    with pytest.raises(DataError, match=r"ids: found 9 samples, expected the 3 .*'video\$_\$3' is"):
        observer_of(file, split.head(3), path)
    two = {m: split.valid[m] for m in ("language", "audio")}
    with pytest.raises(DataError, match="modalities: found language, audio, vision, expected lang"):
        observer_of(file, dataclasses.replace(split, valid=two), path)
    shifted = {**split.valid, "audio": np.roll(split.valid["audio"], 1)}
    with pytest.raises(DataError, match="valid_audio: other frames are valid there"):
        observer_of(file, dataclasses.replace(split, valid=shifted), path)
