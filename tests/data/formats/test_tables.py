"""Pickles of splits: what is wrong with real ones, and what nobody asked for."""

import pickle

import numpy as np
import pytest
from format_case import FRAMES, WORLD, bert, classes, labels, mmsa_table, mult, padded, to_pickle

from fsrf_jax.data import frames
from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError

MODALITIES = ("language", "audio")


def read(folder, content, modalities=MODALITIES):
    return load(to_pickle(folder / "x.pkl", content), modalities)


def tables(**changes):
    content = {name: mmsa_table(samples) for name, samples in WORLD.items()}
    for name, table in changes.items():
        content[name] = {**content.get(name, {}), **table}
    return content


def test_an_empty_split_is_left_out(tmp_path):
    """MMSA-FET writes one where the source had no validation split."""
    empty = {key: [] for key in mmsa_table(WORLD["valid"])}
    dataset = read(tmp_path, tables(valid=empty))
    assert list(dataset.splits) == ["train", "test"]
    assert "split 'valid' has no samples: left out" in dataset.notes


def test_a_part_without_labels_is_left_out(tmp_path):
    mixed = {**mmsa_table(WORLD["train"]), "regression_labels": [np.nan] * len(WORLD["train"])}
    dataset = read(tmp_path, tables(train_mix=mixed))
    assert list(dataset.splits) == ["train", "valid", "test"]
    assert any("'train_mix' is left out: split 'train_mix': 24 of 24" in n for n in dataset.notes)
    # In a split that is needed the same is an error.
    with pytest.raises(DataError, match="split 'train': 24 of 24 labels are NaN"):
        read(tmp_path, tables(train=mixed))


def test_a_part_without_a_modality_or_of_other_width_is_left_out(tmp_path):
    lame = mmsa_table(WORLD["test"])
    del lame["audio"]
    wide = {**mmsa_table(WORLD["test"]), "audio": np.ones((8, FRAMES, 9))}
    dataset = read(tmp_path, tables(extra=lame, wide=wide))
    assert list(dataset.splits) == ["train", "valid", "test"]
    assert any("'extra' is left out" in n and "no modality 'audio'" in n for n in dataset.notes)
    assert any("'wide' is left out" in n and "(8, 4, 9)" in n for n in dataset.notes)


def test_another_split_that_can_be_used_is_read(tmp_path):
    assert "test_hard" in read(tmp_path, tables(test_hard=mmsa_table(WORLD["test"]))).splits


def test_parts_that_are_no_splits_are_noted(tmp_path):
    content = tables() | {"label_map": {"happy": 0}, "word2id": {"a": 1}, "config": {"dim": 3}}
    dataset = read(tmp_path, content)
    assert "not read: label_map, word2id, config" in dataset.notes
    assert list(dataset.splits) == ["train", "valid", "test"]


def test_an_array_with_fields_under_a_key_that_nobody_reads(tmp_path):
    fields = np.zeros(24, [("start", float), ("end", float)])
    assert len(read(tmp_path, tables(train={"times": fields})).splits["train"]) == 24


def test_other_names_of_splits(tmp_path):
    content = tables()
    content = {"trn": content["train"], "dev": content["valid"], "tst": content["test"]}
    dataset = read(tmp_path, content)
    assert list(dataset.splits) == ["train", "valid", "test"]
    assert "split 'dev' of the file is 'valid'" in dataset.notes
    # A name is not given twice.
    assert set(read(tmp_path, tables(dev=mmsa_table(WORLD["valid"]))).splits) == {
        *("train", "valid", "test", "dev")
    }


@pytest.mark.parametrize("modality", ["language", "text_bert"])
def test_token_ids_where_there_is_no_text(tmp_path, modality):
    content = tables()
    for table in content.values():
        del table["text"]
    dataset = read(tmp_path, content, (modality, "audio"))
    assert dataset.tokens == (modality,)
    assert f"{modality}: frames are token ids" in dataset.notes
    train = dataset.splits["train"]
    np.testing.assert_array_equal(train.features[modality][..., 0], bert(WORLD["train"])[:, 0])
    np.testing.assert_array_equal(train.valid[modality], bert(WORLD["train"])[:, 1] == 1)


def test_the_contextual_states_or_the_token_ids_of_a_file_that_has_both(tmp_path):
    dataset = read(tmp_path, tables(), ("language", "text_bert"))
    assert dataset.tokens == ("text_bert",)
    assert dataset.splits["test"].features["language"].shape == (8, FRAMES, 5)
    assert dataset.splits["test"].features["text_bert"].shape == (8, FRAMES, 1)


@pytest.mark.parametrize("swapped", [False, True])
def test_what_the_attention_mask_leaves_out_is_padding_whatever_its_id(tmp_path, swapped):
    """Some tokenizers pad with another id than 0."""
    content = tables()
    for name, table in content.items():
        table["text_bert"] = bert(WORLD[name], swapped=swapped)
        padding = table["text_bert"][:, 0] == 0
        table["text_bert"][:, 0][padding] = 1
    dataset = read(tmp_path, content, ("text_bert",))
    expected = bert(WORLD["train"])
    train = dataset.splits["train"]
    np.testing.assert_array_equal(train.features["text_bert"][..., 0], expected[:, 0])
    np.testing.assert_array_equal(train.valid["text_bert"], expected[:, 1] == 1)
    swaps = "text_bert: the attention mask is in row 2, not in row 1"
    assert (swaps in dataset.notes) == swapped


def test_text_of_whole_numbers_is_token_ids(tmp_path):
    content = {n: {**t, "text": bert(WORLD[n])[:, 0].astype(int)} for n, t in tables().items()}
    dataset = read(tmp_path, content)
    assert dataset.tokens == ("language",)
    assert dataset.splits["test"].features["language"].shape == (8, FRAMES, 1)


def test_labels_of_classes_alone(tmp_path):
    content = tables()
    for table in content.values():
        del table["regression_labels"]
    dataset = read(tmp_path, content)
    note = "labels are 'classification_labels', since there are no 'regression_labels'"
    assert note in dataset.notes
    np.testing.assert_array_equal(dataset.splits["train"].labels, classes(WORLD["train"]))


@pytest.mark.parametrize("swapped", [False, True])
def test_the_attention_mask_is_where_ids_are(tmp_path, swapped):
    """Also if the other row could be a mask."""
    found = bert(WORLD["train"], swapped=swapped)
    found[:, 1 if swapped else 2, :1] = 1  # segments
    content = {n: mmsa_table(samples, aligned=True) for n, samples in WORLD.items()}
    content["train"]["text_bert"] = found
    dataset = read(tmp_path, content)
    expected = bert(WORLD["train"])[:, 1] == 1
    np.testing.assert_array_equal(dataset.splits["train"].valid["audio"], expected)
    swaps = "text_bert: the attention mask is in row 2, not in row 1"
    assert (swaps in dataset.notes) == swapped


def mult_with(folder, **changes):
    content = pickle.loads(mult(folder).read_bytes())
    for table in content.values():
        table |= {key: value(len(table["labels"])) for key, value in changes.items()}
    return content


@pytest.mark.parametrize(
    "ids",
    [
        lambda n: [(f"v{i}", i, 0.5) for i in range(n)],
        lambda n: [[f"v{i}".encode(), str(i).encode(), b"0.5"] for i in range(n)],
        lambda n: np.array([[f"v{i}", i, "0.5"] for i in range(n)]),
    ],
)
def test_ids_of_several_parts_are_joined(tmp_path, ids):
    dataset = read(tmp_path, mult_with(tmp_path, id=ids))
    assert dataset.splits["test"].ids[1] == "v1$_$1$_$0.5"


def test_without_ids_they_are_counted(tmp_path):
    content = mult_with(tmp_path)
    for table in content.values():
        del table["id"]
    assert read(tmp_path, content).splits["test"].ids[1] == "test/1"


def test_too_few_ids_name_their_shape(tmp_path):
    content = mult_with(tmp_path, id=lambda n: np.arange(3 * n).reshape(3, n))
    with pytest.raises(DataError, match=r"ids have shape \(3,\), labels \(24,\); expected one"):
        read(tmp_path, content)


def test_labels_of_mosei_keep_their_columns(tmp_path):
    columns = lambda n: np.arange(7.0 * n).reshape(n, 1, 7)  # noqa: E731
    dataset = read(tmp_path, mult_with(tmp_path, labels=columns))
    assert dataset.splits["train"].labels.shape == (24, 7)
    assert dataset.splits["train"].labels[1, 2] == 9


def test_tables_without_labels_say_what_they_have(tmp_path):
    content = {n: {"text": padded(s, "language"), "extra": 1} for n, s in WORLD.items()}
    with pytest.raises(DataError, match="'train': no labels; expected 'regression_labels', found "):
        read(tmp_path, content, ("language",))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2.5", ""], [1, 2.5, np.nan]),
        (np.array([b"a", b"b"]), ["a", "b"]),
        (np.array(["a", b"b"], object), ["a", "b"]),
        (np.array([[["a"]], [["b"]]]), ["a", "b"]),
        ([[1], [2]], [1, 2]),
        (np.ones((2, 3)), np.ones((2, 3))),
    ],
)
def test_labels_are_numbers_or_names(values, expected):
    np.testing.assert_array_equal(frames.as_labels(values, "y"), expected)


def test_one_label_is_none():
    with pytest.raises(DataError, match="y is one value; expected one a sample"):
        frames.as_labels(3, "y")


def test_the_world_has_labels_of_all_kinds():
    assert len(np.unique(labels(WORLD["train"]))) == 5
    assert set(classes(WORLD["train"])) == {0, 1, 2}
