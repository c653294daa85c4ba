"""Folders of one file a sample, of any kind; what cannot be read is listed."""

import os
import pickle

import h5py
import numpy as np
import pytest
from format_case import WIDTHS, samples

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.streaming import folder
from fsrf_jax.data.streaming.stream import stream
from fsrf_jax.data.streaming.wanted import Unread, Wanted
from fsrf_jax.errors import DataError

WANTED = Wanted(WIDTHS, tuple(WIDTHS), rows=2)


def sample(t, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return {**{m: rng.normal(size=(t, f)) for m, f in WIDTHS.items()}, **changes}


def read(path, wanted=WANTED):
    """Features of every sample by id, and reasons by id."""
    found, unread = {}, {}
    for part in stream(path, wanted):
        if isinstance(part, Unread):
            unread[part.id] = part.reason
            continue
        assert isinstance(part, Split)
        assert len(part) <= wanted.rows
        for i, name in enumerate(part.ids):
            found[str(name)] = {m: part.features[m][i][part.valid[m][i]] for m in part.features}
    return found, unread


def test_one_file_a_sample_of_any_kind(tmp_path):
    given = {name: sample(t, t) for name, t in (("a", 3), ("b", 1), ("c", 7), ("d.x", 2))}
    np.savez(tmp_path / "a.npz", **given["a"])
    np.savez_compressed(tmp_path / "b.npz", **given["b"])
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(given["c"]))
    with h5py.File(tmp_path / "d.x.h5", "w") as file:
        file.update(given["d.x"])
    (tmp_path / ".hidden").write_text("x")
    found, unread = read(tmp_path)
    assert (list(found), unread) == (["a", "b", "c", "d.x"], {})
    for name, features in given.items():
        for m in WIDTHS:
            np.testing.assert_allclose(found[name][m], features[m], rtol=1e-6)


def test_a_sample_may_lack_a_modality(tmp_path):
    given = sample(3)
    np.savez(tmp_path / "a.npz", **given)
    del given["audio"]
    np.savez(tmp_path / "b.npz", **given)
    np.savez(tmp_path / "c.npz", **sample(2, vision=np.zeros((2, 2))))
    found, unread = read(tmp_path)
    assert not unread
    counts = {name: tuple(len(x) for x in of.values()) for name, of in found.items()}
    assert counts == {"a": (3, 3, 3), "b": (3, 0, 3), "c": (2, 2, 0)}


def test_what_cannot_be_read_is_listed_and_all_others_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", **sample(3))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    (tmp_path / "c.txt").write_text("no features")
    (tmp_path / "d").mkdir()
    np.savez(tmp_path / "e.npz", **sample(3, audio=np.ones((3, 9))))
    np.savez(tmp_path / "f.npz", **sample(3, audio=np.ones((2, 3, 3))))
    renamed = sample(3)
    renamed["sound"] = renamed.pop("audio")
    np.savez(tmp_path / "g.npz", **renamed)
    (tmp_path / "h.pkl").write_bytes(pickle.dumps(sample(3, audio={"x": 1})))
    os.mkfifo(tmp_path / "i")
    (tmp_path / "j").symlink_to(tmp_path / "nothing")
    np.savez(tmp_path / "z.npz", **sample(4))
    found, unread = read(tmp_path)
    assert list(found) == ["a", "z"]
    for name, part in (
        ("b", "cannot be read as .npz"),
        ("c", "expected .npz, HDF5 or a pickle with arrays named language, audio, vision"),
        ("d", "is a folder"),
        ("i", "is a pipe, socket or device"),
        ("j", "found no file"),
        ("e", "audio has 9 features, the training data had 3"),
        ("f", "audio has shape (2, 3, 3); expected [t, f] of one sample"),
        ("g", "no modality 'audio'; found language, vision, sound"),
        ("h", "not one array of numbers"),
    ):
        assert part in unread.pop(name)
    assert not unread


def test_a_folder_for_each_modality(tmp_path):
    root = samples(tmp_path)
    listed, _ = read(root)
    rows = (root / "labels.csv").read_text().splitlines()
    assert list(listed) == [row.split(",")[0] for row in rows[1:]]
    header, *rest = [row.split(",") for row in rows]
    (root / "labels.csv").write_text("\n".join(f"{r[0]},{r[1]}" for r in [header, *rest]) + "\n")
    again, unread = read(root)  # ids and splits without labels
    assert (list(again), unread) == (list(listed), {})
    (root / "labels.csv").unlink()
    by_name, unread = read(root)
    assert (list(by_name), unread) == (sorted(listed), {})
    for name, features in listed.items():
        for m in WIDTHS:
            np.testing.assert_array_equal(by_name[name][m], features[m])
    np.save(root / "audio" / "train0[0].npy", np.ones((2, 9)))
    (root / "vision" / "train0[1].csv").write_text("a,b\n1,x\n")
    found, unread = read(root)
    assert "audio has 9 features" in unread["train0[0]"]
    assert "expected rows of numbers" in unread["train0[1]"]
    assert len(found) == len(listed) - 2


def test_a_folder_without_samples_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no file; expected one a sample"):
        read(tmp_path)
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "README.txt").write_text("no sample")
    with pytest.raises(DataError, match="holds no sample"):
        read(tmp_path)
    (tmp_path / "labels.csv").write_text("name\nx\n")
    with pytest.raises(DataError, match="has name; expected the column id"):
        read(tmp_path)


def test_a_folder_without_splits_has_none_to_choose(tmp_path):
    np.savez(tmp_path / "a.npz", **sample(3))
    with pytest.raises(DataError, match="no split 'test'; found samples without splits"):
        read(tmp_path, Wanted(WIDTHS, tuple(WIDTHS), splits=("test",)))


def test_a_list_chooses_among_files_of_samples(tmp_path):
    for name in "abc":
        np.savez(tmp_path / f"{name}.npz", **sample(3))
    (tmp_path / "labels.csv").write_text("id,split\nc,dev\na,train\nlong" + 300 * "x" + ",dev\n")
    found, unread = read(tmp_path, Wanted(WIDTHS, tuple(WIDTHS), splits=("valid",)))
    assert list(found) == ["c"]
    assert [name[:4] for name in unread] == ["long"]


def test_samples_without_frames_lack_the_modality_whatever_is_beside_them(tmp_path):
    for name in "abc":
        np.savez(tmp_path / f"{name}.npz", **sample(3, audio=np.ones((0, 3))))
    found, unread = read(tmp_path)
    assert not unread
    assert {len(features["audio"]) for features in found.values()} == {0}


def test_long_samples_are_read_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_MOST_FRAMES", 20)
    for name, t in (("a", 2), ("b", 3), ("c", 15), ("d", 2), ("e", 30)):
        np.savez(tmp_path / f"{name}.npz", **sample(t))
    wanted = Wanted(WIDTHS, tuple(WIDTHS), rows=100)
    assert [part.ids.tolist() for part in stream(tmp_path, wanted)] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]


def test_token_ids_in_files_are_frames(tmp_path):
    for m, x in (("language", np.array([5, 6, 7])), ("audio", np.ones((3, 3)))):
        (tmp_path / m).mkdir()
        np.save(tmp_path / m / "a.npy", x)
    wanted = Wanted({"language": 1, "audio": 3}, ("language", "audio"), tokens=("language",))
    (split,) = stream(tmp_path, wanted)
    assert split.features["language"][0, :, 0].tolist() == [5, 6, 7]


def test_an_id_that_no_file_can_have_is_listed(tmp_path):
    (tmp_path / "audio").mkdir()
    np.save(tmp_path / "audio" / "a.npy", np.ones((2, 3)))
    (tmp_path / "labels.csv").write_text("id\na\nlong" + 300 * "x" + "\n")
    found, unread = read(tmp_path)
    assert list(found) == ["a"]
    assert [name[:4] for name in unread] == ["long"]
