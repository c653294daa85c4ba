"""Folders: of MMIN, of GCNet, and of one's own."""

import h5py
import numpy as np
import pytest
from format_case import SIZES, WORLD, gcnet, mmin, samples, to_pickle

from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError

MODALITIES = ("audio", "vision")


def test_a_fold_of_mmin_is_chosen_by_its_path(tmp_path):
    root = mmin(tmp_path)
    first = load(root, MODALITIES)
    assert len(first.splits["train"]) == 24
    note = f"fold 1 of target; for another give the path {root}/target/10"
    assert note in first.notes
    assert len(load(root / "target" / "2", MODALITIES).splits["train"]) == 3


def test_modalities_of_mmin_are_named_by_their_file_where_there_are_several(tmp_path):
    root = mmin(tmp_path)
    (root / "A" / "wav2vec.h5").write_bytes((root / "A" / "comparE.h5").read_bytes())
    with pytest.raises(DataError, match=r"2 files for the modality 'audio'.*comparE, wav2vec"):
        load(root, MODALITIES)
    assert load(root, ("wav2vec", "denseface")).splits["test"].modalities == (
        *("wav2vec", "denseface"),
    )
    with pytest.raises(DataError, match="0 files for the modality 'bert'"):
        load(root, ("bert", "audio"))


def test_utterances_that_mmin_lacks_are_counted(tmp_path):
    root = mmin(tmp_path)
    with h5py.File(root / "A" / "comparE.h5", "a") as file:
        del file[WORLD["train"][2].id]
        del file[WORLD["train"][3].id]
    with pytest.raises(DataError, match=r"no utterance 'train0\[2\]' \(and 1 others\) of trn_int"):
        load(root, MODALITIES)


def test_gcnet_without_validation_videos(tmp_path):
    dataset = load(gcnet(tmp_path, with_valid=False), MODALITIES)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 24, "test": 8}


def test_gcnet_lacks_what_has_no_file(tmp_path):
    root = gcnet(tmp_path)
    (root / "features" / "audio" / f"{WORLD['train'][1].id}.npy").unlink()
    for face in (root / "features" / "vision" / WORLD["train"][1].id).iterdir():
        face.unlink()  # no face was found
    np.save(root / "features" / "audio" / f"{WORLD['train'][0].id}.npy", np.ones(3))  # a mean
    train = load(root, MODALITIES).splits["train"]
    assert train.valid["audio"].sum(axis=1)[:3].tolist() == [1, 0, 4]
    assert train.valid["vision"].sum(axis=1)[:3].tolist() == [2, 0, 4]


def test_gcnet_says_what_it_expects(tmp_path):
    root = gcnet(tmp_path)
    with pytest.raises(DataError, match="no modality 'language'; found audio, vision"):
        load(root, ("language", "audio"))
    to_pickle(root / "other.pkl", [])
    with pytest.raises(DataError, match="has 2 pickles; expected one"):
        load(root, MODALITIES)
    (root / "CMUMOSI_features_raw_2way.pkl").unlink()
    with pytest.raises(DataError, match="holds a list; expected a list of 6 or 7 parts"):
        load(root, MODALITIES)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "..\\x", ""])
def test_no_name_leads_out_of_a_folder(tmp_path, name):
    root = samples(tmp_path)
    np.save(tmp_path / "samples" / "outside.npy", np.ones((2, 3)))
    with (root / "labels.csv").open("a") as file:
        file.write(f"{name},train,happy,g\n")
    with pytest.raises(DataError, match=r"leads out of the folder .*audio; expected a name in it"):
        load(root, MODALITIES)


def test_a_sample_without_a_file_lacks_the_modality(tmp_path):
    root = samples(tmp_path)
    (root / "audio" / f"{WORLD['test'][0].id}.npy").unlink()
    dataset = load(root, MODALITIES)
    assert dataset.splits["test"].valid["audio"].any(axis=1).tolist() == [False] + [True] * 7
    assert "test: 1 of 8 samples have no audio" in dataset.notes
    for sample in WORLD["train"]:
        (root / "audio" / f"{sample.id}.npy").unlink()
    assert not load(root, MODALITIES).splits["train"].valid["audio"].any()


def test_files_without_a_row_are_noted(tmp_path):
    root = samples(tmp_path)
    assert not any("no row" in note for note in load(root, MODALITIES).notes)
    sample = WORLD["train"][0].id
    (root / "audio" / f"{sample}.npy").rename(root / "audio" / f"{sample} .npy")
    (root / "audio" / ".hidden.npy").write_text("")
    (root / "audio" / "readme.txt").write_text("")
    for name in ("y", "x"):
        np.savetxt(root / "vision" / f"{name}.csv", np.ones((2, 3)), delimiter=",")
    dataset = load(root, MODALITIES)
    assert f"audio: 1 file has no row in labels.csv, such as '{sample} '" in dataset.notes
    assert "vision: 2 files have no row in labels.csv, such as 'x'" in dataset.notes
    assert "train: 1 of 24 samples have no audio" in dataset.notes
    # A name may be one of a file in a folder.
    (root / "audio" / "sub").mkdir()
    (root / "audio" / f"{sample} .npy").rename(root / "audio" / "sub" / "a.npy")
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace(f"\n{sample},", "\nsub/a,"))
    notes = load(root, MODALITIES).notes
    assert not any(note.startswith("audio: 1 file") for note in notes)


def test_a_table_may_have_no_header(tmp_path):
    root, sample = samples(tmp_path), WORLD["train"][0]
    np.savetxt(root / "vision" / f"{sample.id}.csv", sample.sequences["vision"], delimiter=",")
    read = load(root, MODALITIES).splits["train"].features["vision"][0, : len(sample.words)]
    np.testing.assert_allclose(read, sample.sequences["vision"], rtol=1e-5)


def test_labels_of_several_tasks(tmp_path):
    root = samples(tmp_path)
    rows = ["id,split,label_happy,label_sad"]
    rows += [f"{s.id},{n},{i % 2},1" for n in SIZES for i, s in enumerate(WORLD[n])]
    (root / "labels.csv").write_text("\n".join(rows))
    split = load(root, MODALITIES).splits["test"]
    np.testing.assert_array_equal(split.labels[:3], [[0, 1], [1, 1], [0, 1]])
    assert split.groups is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na,1\n", "has the columns id, label; expected id, split and label"),
        ("id,split,label\na,train\n", "row 1: found 2 cells, expected 3"),
        ("id,split,label\na,train,\n", "'train': 1 of 1 labels are NaN"),
        ("id,split,label\n", "expected id, split and label"),
    ],
)
def test_a_list_that_does_not_fit(tmp_path, text, message):
    root = samples(tmp_path)
    (root / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(root, MODALITIES)


def test_a_table_of_something_else(tmp_path):
    root = samples(tmp_path)
    place = root / "vision" / f"{WORLD['train'][0].id}.csv"
    for text in ("1,2\n3\n", "1,2\n3,x\n"):
        place.write_text(text)
        with pytest.raises(DataError, match="expected rows of numbers, as many in each"):
            load(root, MODALITIES)


def test_a_modality_without_a_folder(tmp_path):
    with pytest.raises(DataError, match="no modality 'bert'; found audio, language, vision"):
        load(samples(tmp_path), ("bert", "audio"))


def test_another_folder_says_what_it_could_be(tmp_path):
    (tmp_path / "some.txt").write_text("")
    with pytest.raises(DataError, match=r"folder of no known format; .*labels\.csv.*some\.txt"):
        load(tmp_path, MODALITIES)
