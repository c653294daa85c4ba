import h5py
import numpy as np
import pytest
from format_case import WORLD, hdf5, mapping, padded

from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError

MODALITIES = ("language", "audio")


def test_groups_of_hdf5(tmp_path):
    hdf5(tmp_path)
    text = 'file: groups.h5\nsplits: {train: train, valid: valid}\nlabel: "{split}/label"\n'
    text += 'modalities: {sound: "{split}/audio"}'
    (tmp_path / "my.yml").write_text(text)
    dataset = load(tmp_path / "my.yml", ("sound",))
    assert set(dataset.splits) == {"train", "valid"}
    expected = padded(WORLD["valid"], "audio")
    np.testing.assert_allclose(dataset.splits["valid"].features["sound"], expected, rtol=1e-6)
    assert dataset.splits["valid"].ids[0] == "valid/0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file: mine.npz", "file: other.npz", r"no file .*other\.npz; expected that of 'file'"),
        ("file: mine.npz", "file: ../mine.npz", "leads out of the folder"),
        ("file: mine.npz", "files: mine.npz", "has files, splits, .*; expected file, splits, labe"),
        ("file: mine.npz", "file: 3", "file is 3; expected a name"),
        ('label: "{split}_y"', "label: [a]", r"label is \['a'\]; expected a name"),
        ('"{split}_X_l"', '"{split}_X_k"', "no 'tr_X_k' .*of split 'train'.*did you mean 'tr_X_"),
        ("train: tr", "train: 1", "splits is .*; expected a name for each"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, old, new, message):
    path = mapping(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        load(path, MODALITIES)


def test_no_mapping_at_all(tmp_path):
    (tmp_path / "x.yaml").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"has \[1, 2\]; expected file, splits, label, modalities"):
        load(tmp_path / "x.yaml", MODALITIES)
    with pytest.raises(DataError, match="no modality 'text'; found language, audio, vision"):
        load(mapping(tmp_path), ("text",))


def test_a_dump_of_mmsa_in_groups(tmp_path):
    """The keys of MMSA, and a part that no experiment needs."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for split in ("train", "test", "pretrain"):
            file[f"{split}/text"] = padded(WORLD["test"], "language")
            file[f"{split}/audio"] = padded(WORLD["test"], "audio")
            if split != "pretrain":
                file[f"{split}/regression_labels"] = np.arange(8.0)
                file[f"{split}/classification_labels"] = np.zeros(8, int)
    dataset = load(tmp_path / "x.h5", MODALITIES)
    assert set(dataset.splits) == {"train", "test"}
    assert dataset.splits["test"].labels.tolist() == list(range(8))
