"""Any format, with or without labels, in parts of any size, is what `load` reads."""

import pickle

import h5py
import numpy as np
import pytest
from format_case import CASES, WIDTHS, WORLD, arrays_of, mmsa_table, mult

from fsrf_jax.data import load, store
from fsrf_jax.data.assemble import NoModality
from fsrf_jax.data.streaming.stream import stream
from fsrf_jax.data.streaming.wanted import Wanted
from fsrf_jax.errors import DataError


def wanted(modalities=tuple(WIDTHS), **kwargs):
    return Wanted(WIDTHS, tuple(modalities), **kwargs)


def joined(parts):
    """Ids, and of every sample the valid frames of each modality."""
    parts = list(parts)
    assert all((split.labels == 0).all() for split in parts)
    assert all(tuple(split.features) == tuple(WIDTHS) for split in parts)
    return {
        str(name): {m: split.features[m][i][split.valid[m][i]] for m in WIDTHS}
        for split in parts
        for i, name in enumerate(split.ids)
    }


def expected(path, modalities, splits=None):
    dataset = load.load(path, modalities)
    return {
        str(name): {m: split.features[m][i][split.valid[m][i]] for m in modalities}
        for key, split in dataset.splits.items()
        if splits is None or key in splits
        for i, name in enumerate(split.ids)
    }


def assert_same(found, wanted_samples, modalities=tuple(WIDTHS)):
    assert list(found) == list(wanted_samples)
    for name, features in wanted_samples.items():
        for m in modalities:
            np.testing.assert_allclose(found[name][m], features[m], rtol=1e-6)


@pytest.mark.parametrize("rows", [3, 100])
@pytest.mark.parametrize("name", CASES)
def test_every_format_has_the_samples_that_load_reads(name, rows, tmp_path):
    case = CASES[name]
    path = case.write(tmp_path)
    parts = list(stream(path, wanted(case.modalities, rows=rows)))
    assert max(len(split) for split in parts) <= rows
    found = joined(parts)
    samples = expected(path, case.modalities)
    if name == "sims v2":  # `load` leaves out what is partly not labelled
        samples |= {i: found[i] for i in found if i not in samples}
    assert_same(found, samples, case.modalities)
    for m in set(WIDTHS) - set(case.modalities):
        assert all(len(features[m]) == 0 for features in found.values())


def test_sims_has_the_samples_that_lack_a_label(tmp_path):
    parts = stream(CASES["sims v2"].write(tmp_path), wanted(splits=("train_mix",)))
    assert sum(map(len, parts)) == 6


def test_a_store_has_them_part_by_part(tmp_path):
    path = CASES["npz"].write(tmp_path)
    store.write(tmp_path / "x.h5", load.load(path, tuple(WIDTHS)))
    for rows in (3, 100):
        found = joined(stream(tmp_path / "x.h5", wanted(rows=rows)))
        assert_same(found, expected(path, tuple(WIDTHS)))
    found = joined(stream(tmp_path / "x.h5", wanted(splits=("test",))))
    assert_same(found, expected(path, tuple(WIDTHS), ["test"]))


def without_labels(content):
    return {key: value for key, value in content.items() if "label" not in key}


def test_files_without_labels_have_the_same(tmp_path):
    samples = expected(CASES["npz"].write(tmp_path), tuple(WIDTHS), ["test"])
    content = without_labels(arrays_of("test", WORLD["test"]))
    np.savez(tmp_path / "a.npz", **content)
    np.savez_compressed(tmp_path / "b.npz", **content)
    np.savez(tmp_path / "c.npz", **{k: np.asfortranarray(v) for k, v in content.items()})
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for key, values in content.items():
            file[key] = values.astype(bytes) if values.dtype.kind == "U" else values
    for name in ("a.npz", "b.npz", "c.npz", "d.h5"):
        for rows in (3, 100):
            assert_same(joined(stream(tmp_path / name, wanted(rows=rows))), samples)


def test_pickles_without_labels_have_the_same(tmp_path):
    path = CASES["mmsa unaligned"].write(tmp_path)
    samples = expected(path, tuple(WIDTHS), ["test"])
    table = without_labels(mmsa_table(WORLD["test"]))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"test": table}))
    assert_same(joined(stream(tmp_path / "a.pkl", wanted(rows=3))), samples)
    path = mult(tmp_path)
    samples = expected(path, tuple(WIDTHS), ["test"])
    table = without_labels(pickle.loads(path.read_bytes())["test"])
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"test": table}))
    assert_same(joined(stream(tmp_path / "b.pkl", wanted())), samples)


def test_labels_that_training_refuses_are_not_looked_at(tmp_path):
    content = arrays_of("test", WORLD["test"])
    content["test_label"] = np.full(len(WORLD["test"]), np.nan)
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match="NaN or infinite"):
        load.load(tmp_path / "a.npz", tuple(WIDTHS))
    assert len(joined(stream(tmp_path / "a.npz", wanted()))) == len(WORLD["test"])


def test_a_mapping_needs_no_label(tmp_path):
    path = CASES["mapping"].write(tmp_path)
    samples = expected(path, tuple(WIDTHS))
    text = path.read_text()
    path.write_text(text.replace('label: "{split}_y"\n', ""))
    assert_same(joined(stream(path, wanted(rows=5))), samples)
    with pytest.raises(DataError, match="expected file, splits, label"):
        load.load(path, tuple(WIDTHS))


def test_arrays_without_splits_are_samples_or_one_sample(tmp_path):
    content = {key.removeprefix("test_"): x for key, x in arrays_of("test", WORLD["test"]).items()}
    samples = expected(CASES["npz"].write(tmp_path), tuple(WIDTHS), ["test"])
    np.savez(tmp_path / "many.npz", **content)
    assert_same(joined(stream(tmp_path / "many.npz", wanted(rows=3))), samples)
    del content["id"]
    np.savez(tmp_path / "many.npz", **content)
    found = joined(stream(tmp_path / "many.npz", wanted(rows=3)))
    assert list(found) == [f"many/{i}" for i in range(8)]  # whatever the size of the parts
    first = WORLD["test"][0].sequences
    np.savez(tmp_path / "one.npz", **first)
    (tmp_path / "one.pkl").write_bytes(pickle.dumps(first))
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file.update(first)
    for name in ("one.npz", "one.pkl", "one.h5"):
        assert_same(joined(stream(tmp_path / name, wanted())), {"one": first})


def test_a_modality_may_lack_but_not_hide_under_another_name(tmp_path):
    content = arrays_of("test", WORLD["test"])
    del content["test_audio"]
    np.savez(tmp_path / "a.npz", **content)
    found = joined(stream(tmp_path / "a.npz", wanted()))
    assert all(len(features["audio"]) == 0 for features in found.values())
    content["test_sound"] = np.ones((8, 4, 3))
    np.savez(tmp_path / "b.npz", **content)
    message = r"no modality 'audio'; found language, vision, sound.*rename sound.*language,vision"
    with pytest.raises(NoModality, match=message):
        list(stream(tmp_path / "b.npz", wanted()))
    explicit = wanted(("language", "vision"), strict=False)
    assert_same(joined(stream(tmp_path / "b.npz", explicit)), found, ("language", "vision"))


def test_a_pickle_may_lack_one_as_well(tmp_path):
    table = mmsa_table(WORLD["test"])
    del table["audio"], table["audio_lengths"]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"test": table}))
    found = joined(stream(tmp_path / "a.pkl", wanted()))
    assert all(len(features["audio"]) == 0 for features in found.values())
    assert all(len(features["vision"]) for features in found.values())
    table["sound"] = table["vision"]
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"test": table}))
    with pytest.raises(NoModality, match="rename sound"):
        list(stream(tmp_path / "b.pkl", wanted()))
    only = {key: table[key] for key in ("id", "sound")}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"test": only}))
    with pytest.raises(DataError, match=r"no split|no modality"):
        list(stream(tmp_path / "c.pkl", wanted(strict=False)))


@pytest.mark.parametrize("name", ["npz", "mmsa unaligned", "samples", "mmin"])
def test_splits_are_chosen_by_name(name, tmp_path):
    path = CASES[name].write(tmp_path)
    found = joined(stream(path, wanted(splits=("test",))))
    assert list(found) == list(expected(path, tuple(WIDTHS), ["test"]))
    with pytest.raises(DataError, match="no split 'new'; found train, valid, test"):
        list(stream(path, wanted(splits=("new",))))


@pytest.mark.parametrize("name", ["npz", "mmsa unaligned", "mmin"])
def test_another_width_is_one_message(name, tmp_path):
    path = CASES[name].write(tmp_path)
    other = Wanted({**WIDTHS, "audio": 4}, tuple(WIDTHS))
    with pytest.raises(DataError, match="audio has 3 features, the training data had 4"):
        list(stream(path, other))


def test_what_does_not_fit_together_is_one_message(tmp_path):
    content = arrays_of("test", WORLD["test"])
    for changes, message in (
        ({"test_audio": np.ones((7, 4, 3))}, "found language 8, audio 7, vision 8 samples"),
        ({"test_id": np.array(["a"])}, "1 ids, 8 samples"),
        ({"test_audio_lengths": np.full(8, 9)}, "8 of its lengths do not fit"),
        ({"test_audio": np.array(["x"] * 8)}, "dtype <U1; expected real numbers"),
        ({"test_audio": np.ones(8)}, "expected .samples, frames, features."),
    ):
        np.savez(tmp_path / "a.npz", **{**content, **changes})
        with pytest.raises(DataError, match=message):
            list(stream(tmp_path / "a.npz", wanted()))
    with pytest.raises(DataError, match="does not exist"):
        list(stream(tmp_path / "none.npz", wanted()))
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with pytest.raises(DataError, match="no modality 'language'; found x"):
        list(stream(tmp_path / "a.npz", wanted()))


def test_token_ids_are_frames(tmp_path):
    ids = np.array([[5, 6, 0], [7, 0, 0]])
    tokens = Wanted({"language": 1, "audio": 3}, ("language", "audio"), tokens=("language",))
    np.savez(tmp_path / "a.npz", language=ids, audio=np.ones((2, 3, 3)))
    (split,) = stream(tmp_path / "a.npz", tokens)
    np.testing.assert_array_equal(split.features["language"][:, :, 0], ids)
    np.testing.assert_array_equal(split.valid["language"].sum(axis=1), [2, 1])
    np.savez(tmp_path / "b.npz", language=ids[0], audio=np.ones((2, 3)))
    (split,) = stream(tmp_path / "b.npz", tokens)
    assert (split.ids.tolist(), split.features["language"].shape) == (["b"], (1, 3, 1))
    path = CASES["mag"].write(tmp_path)
    with pytest.raises(DataError, match="number the words of its own training split"):
        list(stream(path, tokens))


def test_what_an_array_of_another_name_ends_with_is_no_split(tmp_path):
    content = arrays_of("train", WORLD["train"])
    content |= {"train_raw_text": np.array(["x"] * 24), "train_regression_labels_A": np.ones(24)}
    np.savez(tmp_path / "a.npz", **content)
    found = joined(stream(tmp_path / "a.npz", wanted()))
    assert list(found) == [sample.id for sample in WORLD["train"]]
    content["train_text"] = content.pop("train_language")
    content["train_text_lengths"] = content.pop("train_language_lengths")
    np.savez(tmp_path / "b.npz", **content)
    assert_same(joined(stream(tmp_path / "b.npz", wanted())), found)
    (path,) = [CASES["mmsa unaligned"].write(tmp_path)]
    pickled = pickle.loads(path.read_bytes()) | {"info": ["a", "b"]}
    path.write_bytes(pickle.dumps(pickled))
    assert len(joined(stream(path, wanted()))) == 40


def test_every_split_has_its_own_names_and_modalities(tmp_path):
    content = arrays_of("train", WORLD["train"]) | arrays_of("test", WORLD["test"])
    expected = joined_of(tmp_path, content)
    for key in ("", "_lengths"):
        content[f"train_text{key}"] = content.pop(f"train_language{key}")
    assert_same(joined_of(tmp_path, content), expected)
    del content["test_vision"]
    found = joined_of(tmp_path, content)
    for split in ("train", "test"):
        for sample in WORLD[split]:
            count = len(found[sample.id]["vision"])
            assert count == (len(sample.words) if split == "train" else 0)
    path = CASES["mmsa unaligned"].write(tmp_path)
    pickled = pickle.loads(path.read_bytes())
    del pickled["test"]["vision"]
    path.write_bytes(pickle.dumps(pickled))
    found = joined(stream(path, wanted()))
    lacking = [name for name, features in found.items() if not len(features["vision"])]
    assert lacking == [f"{s.video}$_${s.number}" for s in WORLD["test"]]


def joined_of(folder, content):
    np.savez(folder / "x.npz", **content)
    return joined(stream(folder / "x.npz", wanted(rows=5)))


def test_the_name_of_a_modality_may_have_parts(tmp_path):
    np.savez(tmp_path / "a.npz", test_left_eye=np.ones((2, 3, 4)), test_id=np.array(["x", "y"]))
    (split,) = stream(tmp_path / "a.npz", Wanted({"left_eye": 4}, ("left_eye",)))
    assert split.ids.tolist() == ["x", "y"]


def test_which_side_padding_is_on_does_not_depend_on_the_parts(tmp_path):
    x = np.ones((3, 6, 3), np.float32)
    x[:, 0] = 0
    x[0, 5] = 0  # a gap at the end of one
    content = {"test_audio": x, "test_audio_lengths": np.array([5, 5, 5])}
    np.savez(tmp_path / "a.npz", **content)
    for rows in (1, 3):
        parts = list(stream(tmp_path / "a.npz", wanted(("audio",), rows=rows, strict=False)))
        valid = np.concatenate([split.valid["audio"] for split in parts])
        np.testing.assert_array_equal(valid, [[False] + 5 * [True]] * 3)


def test_lengths_cut_one_sample_as_well(tmp_path):
    x = np.ones((7, 3))
    np.savez(tmp_path / "a.npz", audio=x, audio_lengths=4, id="one")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["audio"], file["audio_lengths"], file["id"] = x, 4, "one"
    for name in ("a.npz", "b.h5"):
        (split,) = stream(tmp_path / name, wanted(("audio",), strict=False))
        assert split.ids.tolist() == ["one"]
        assert split.valid["audio"].tolist() == [[True] * 4]


def test_one_frame_a_sample_is_told_from_one_sample(tmp_path):
    x = np.ones((5, 3))
    ids = np.array(list("abcde"))
    np.savez(tmp_path / "a.npz", audio=x, id=ids)
    (split,) = stream(tmp_path / "a.npz", wanted(("audio",), strict=False))
    assert (split.ids.tolist(), split.features["audio"].shape) == (list("abcde"), (5, 1, 3))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["clip1/audio"] = x
    with pytest.raises(DataError, match=r"can be .n, f. of n samples or .t, f. of one"):
        list(stream(tmp_path / "b.h5", wanted(("audio",), strict=False)))


def test_a_damaged_array_is_the_one_that_is_named(tmp_path):
    content = arrays_of("test", WORLD["test"])
    np.savez(tmp_path / "a.npz", **content)
    whole = (tmp_path / "a.npz").read_bytes()
    at = whole.index(content["test_language"].tobytes()) + 100
    (tmp_path / "a.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match="array 'test_language'"):
        list(stream(tmp_path / "a.npz", wanted()))
