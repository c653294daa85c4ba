import dataclasses

import lazy_case
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsrf_jax.data import lazy, normalise
from fsrf_jax.data.clean import clean
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.errors import DataError


def split(audio=None, *, valid=None, labels=None, ids=None, **others):
    audio = np.ones((2, 3, 2)) if audio is None else audio
    valid = np.ones(audio.shape[:2], bool) if valid is None else valid
    labels = np.zeros(len(audio)) if labels is None else labels
    ids = np.array([f"i{i}" for i in range(len(audio))]) if ids is None else ids
    features = {"audio": audio, **others}
    valids = {m: np.ones(x.shape[:2], bool) for m, x in others.items()}
    return Split(ids, features, {"audio": valid, **valids}, labels)


def cleaned(train, rule="zero", **others):
    return clean(Dataset({"train": train, **others}), rule)


BAD = pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan, 1e300, -1e39])


@BAD
def test_frames_that_are_not_finite_can_be_left_out(value):
    audio = np.ones((2, 3, 2))
    audio[0, 1, 0] = audio[0, 1, 1] = audio[1, 2, 0] = value
    dataset = cleaned(split(audio), "frame")
    found = dataset.splits["train"]
    np.testing.assert_array_equal(found.present["audio"], [[1, 0, 1], [1, 1, 0]])
    assert found.valid["audio"].all()
    np.testing.assert_array_equal(found.features["audio"][..., 1], [[1, 0, 1], [1, 1, 0]])
    assert found.features["audio"].dtype == np.float32
    assert dataset.notes == (
        "train audio: 3 values are NaN or infinite, in 2 of 2 columns (share of the frames): "
        "0 (33.3 %), 1 (16.7 %)",
        "train audio: the 2 frames with any are missing",
    )
    assert audio[0, 1, 0] == value or np.isnan(value)  # the input is left alone


def columns_of(*columns):
    """Audio [n, 2, f] of its columns, each a list of 2 n numbers."""
    return np.array(columns, np.float64).T.reshape(-1, 2, len(columns))


@BAD
def test_bad_values_become_the_training_mean_of_their_column(value):
    train = columns_of([1, 2, 3, 6], [value, 4, value, 7], [value] * 4, [value] * 4)
    test = columns_of([value, 0], [1, value], [5, 7], [value, value])
    dataset = cleaned(split(train), test=split(test))
    expected = columns_of([1, 2, 3, 6], [5.5, 4, 5.5, 7], [6] * 4, [0] * 4)
    np.testing.assert_array_equal(dataset.splits["train"].features["audio"], expected)
    found = dataset.splits["test"].features["audio"]
    np.testing.assert_array_equal(found, columns_of([3, 0], [1, 5.5], [5, 7], [0, 0]))
    assert all(made.present["audio"].all() for made in dataset.splits.values())
    assert dataset.notes == (
        "train audio: 10 values are NaN or infinite, in 3 of 4 columns (share of the frames): "
        "1 (50 %), 2 (100 %), 3 (100 %)",
        "test audio: 4 values are NaN or infinite, in 3 of 4 columns (share of the frames): "
        "0 (50 %), 1 (50 %), 3 (100 %)",
        "audio: the training mean of its column stands for each of these values",
    )
    made = normalise.fit(dataset.splits["train"], 5).apply(dataset.splits["train"])
    assert made.features["audio"][0, 0, 1:].tolist() == [0, 0, 0]


def test_columns_with_bad_values_can_be_left_out_of_all_splits():
    train, test = (columns_of([np.nan, 2], [3, 4]), columns_of([1, 2], [5, 6]))
    test[0, 1, 1] = 0
    dataset = cleaned(split(train), "column", test=split(test))
    np.testing.assert_array_equal(dataset.splits["train"].features["audio"], [[[3], [4]]])
    assert dataset.splits["test"].present["audio"].tolist() == [[True, False]]
    np.testing.assert_array_equal(dataset.splits["test"].features["audio"], [[[5], [0]]])
    assert dataset.notes[-1] == "audio: 1 columns are left out of all splits: 0"
    with pytest.raises(DataError, match=r"audio: every column has values .*zero or frame"):
        cleaned(split(train), "column", test=split(columns_of([1, 2], [5, np.nan])))


@pytest.mark.parametrize("rule", ["zero", "frame", "column"])
def test_a_frame_without_any_finite_value_is_left_out(rule):
    audio = columns_of([np.nan, 2], [-np.inf, 4])
    dataset = cleaned(split(audio), rule)
    found = dataset.splits["train"]
    assert found.valid["audio"].all()
    assert found.present["audio"].tolist() == [[False, True]]
    assert found.features["audio"].tolist() == [[[0, 0], [2, 4]]]
    assert any("the 1 frames with " in note for note in dataset.notes)


def test_padding_is_made_zero_and_not_counted():
    audio = np.full((1, 2, 2), np.nan)
    audio[0, 0] = 1
    dataset = cleaned(split(audio, valid=np.array([[True, False]])))
    assert dataset.splits["train"].features["audio"][0, 1].tolist() == [0, 0]
    assert dataset.notes == ()


def test_samples_without_a_modality_are_counted():
    dataset = cleaned(split(valid=np.array([[True] * 3, [False] * 3])))
    assert dataset.notes == ("train: 1 of 2 samples have no audio",)
    assert clean(dataset).notes == dataset.notes


@given(
    hnp.arrays(np.float64, st.tuples(*[st.integers(1, 3)] * 3), elements=st.floats(width=64)),
    st.sampled_from(["zero", "frame"]),
)
def test_the_contract_holds_for_any_numbers(audio, rule):
    found = cleaned(split(audio), rule).splits["train"]
    x, present = found.features["audio"], found.present["audio"]
    assert np.isfinite(x).all()
    assert not x[~present].any()
    with np.errstate(over="ignore"):
        kept = audio.astype(np.float32)
    finite = np.isfinite(kept)
    with_data = (finite & (kept != 0)).any(axis=-1)
    if rule == "frame":
        with_data &= finite.all(axis=-1)
    np.testing.assert_array_equal(present, with_data)
    known = finite & present[..., None]
    np.testing.assert_array_equal(x[known], kept[known])
    assert found.valid["audio"].all()


def test_a_gap_inside_a_sequence_is_missing_and_padding_is_not():
    audio = np.ones((2, 5, 2))
    audio[0, 1] = audio[0, 4] = audio[1, 2] = 0
    audio[1, 3] = 0, np.nan
    inside = np.array([[True] * 4 + [False], [True] * 5])
    dataset = cleaned(split(audio, valid=inside))
    found = dataset.splits["train"]
    np.testing.assert_array_equal(found.valid["audio"], inside)
    np.testing.assert_array_equal(found.present["audio"], [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]])
    assert dataset.notes[1:] == (
        "train audio: the 1 frames with no other value are missing",
        "train audio: 2 of 9 frames inside the sequences are all zero; they are missing",
    )
    again = clean(dataset).splits["train"]
    np.testing.assert_array_equal(again.present["audio"], found.present["audio"])


@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 1)])
def test_labels_are_flattened(shape):
    found = cleaned(split(labels=np.array([1, 2]).reshape(shape))).splits["train"].labels
    assert found.tolist() == [1, 2]
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (split(labels=np.array([0, np.nan])), "'train': 1 of 2 labels .*first: nan of 'i1'"),
        (split(labels=np.array([1e300, -np.inf])), "2 of 2 labels .*first: inf of 'i0'"),
        (split(labels=np.ones((2, 4, 2))), r"labels have shape \(2, 4, 2\)"),
        (split(labels=np.ones((2, 0))), r"labels have shape \(2, 0\)"),
        (split(labels=np.array([[0, 1], [np.nan, 1]])), "1 of 2 labels .*nan .*of 'i1'"),
        (split(labels=np.array([["a"], ["b"]])), "dtype <U1; expected one number"),
        (split(labels=np.ones(3), ids=np.array(list("abc"))), r"\(2, 3, 2\), labels \(3,\)"),
        (split(ids=np.array(["a"])), r"ids have shape \(1,\), labels \(2,\)"),
        (split(ids=np.array(["a", "a"])), r"1 ids occur more than once \(first: 'a'\)"),
        (split(np.ones((2, 3, 2, 1))), r"features have shape \(2, 3, 2, 1\)"),
        (split(np.array([[["a"]]])), "dtype <U1"),
        (split(valid=np.ones((2, 4), bool)), r"valid has shape \(2, 4\), features \(2, 3, 2\)"),
        (split(np.ones((0, 3, 2))), "no samples"),
    ],
)
def test_what_does_not_fit_is_an_error(train, message):
    with pytest.raises(DataError, match=message):
        cleaned(train)


def test_splits_must_agree():
    with pytest.raises(DataError, match=r"audio has shape \(2, 3, 5\) in split 'test' and \(2, 3,"):
        cleaned(split(), test=split(np.ones((2, 3, 5))))
    with pytest.raises(DataError, match=r"'test' has the modalities \('audio', 'vision'\)"):
        cleaned(split(), test=split(vision=np.ones((2, 1, 1))))
    with pytest.raises(DataError, match="no split"):
        clean(Dataset({}))


def test_a_label_for_each_task_is_kept():
    labels = np.array([[0, 1, 1], [1, 0, 0]])
    found = cleaned(split(labels=labels), test=split(labels=labels)).splits["test"].labels
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == np.float32
    for other in (np.ones((2, 2)), np.ones(2)):
        with pytest.raises(DataError, match=r"shape \(2, 3\), in split 'test'"):
            cleaned(split(labels=labels), test=split(labels=other))


def test_lengths_may_differ_between_splits_and_vectors_become_one_frame():
    vectors = split(np.ones((2, 2)), valid=np.ones((2, 1), bool))
    assert cleaned(split(), test=vectors).splits["test"].features["audio"].shape == (2, 1, 2)


def named(*names, **kwargs):
    audio = np.ones((len(names), 3, 2))
    return split(audio, labels=np.array(names), **kwargs)


def test_names_of_classes_become_numbers_in_sorted_order():
    dataset = cleaned(named("sad", "happy"), test=named("neutral", "sad"))
    assert dataset.classes == ("happy", "neutral", "sad")
    assert dataset.splits["train"].labels.tolist() == [2, 0]
    assert dataset.splits["test"].labels.tolist() == [1, 2]
    assert dataset.splits["test"].labels.dtype == np.float32
    note = "labels are names; in sorted order they are the classes 0 happy, 1 neutral, 2 sad"
    assert note in dataset.notes


@pytest.mark.parametrize("other", [split(), named("sad", "")])
def test_labels_are_all_names_or_none(other):
    with pytest.raises(DataError, match=r"split 'test': labels .*one name of a class a sample"):
        cleaned(named("sad", "happy"), test=other)
    dataset = cleaned(named("sad", "happy"), extra=other)
    assert list(dataset.splits) == ["train"]
    assert any("'extra' is left out" in note for note in dataset.notes)


def test_a_split_that_nobody_needs_may_be_bad():
    """Wherever it stands in the file."""
    good = split()
    for bad in (split(labels=np.array([np.nan, 1])), split(np.ones((2, 3, 9)))):
        dataset = clean(Dataset({"extra": bad, "train": good, "test": good}))
        assert list(dataset.splits) == ["train", "test"]
        assert any("split 'extra' is left out: " in note for note in dataset.notes)
    assert list(clean(Dataset({"extra": good, "train": good})).splits) == ["extra", "train"]


def test_groups_are_as_many_as_samples():
    good = dataclasses.replace(split(), groups=np.array(["a", "b"]))
    assert cleaned(good).splits["train"].groups.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="'train': 1 groups, 2 ids; expected one group an id"):
        cleaned(dataclasses.replace(good, groups=np.array(["a"])))


@pytest.mark.parametrize(
    ("ids", "groups"),
    [
        (["v1$_$0", "v2$_$13"], ["v1", "v2"]),
        (["v1$_$0$_$2.5", "v1$_$2.5$_$3"], ["v1", "v1"]),
        (["v1$_$0", "v2_13"], None),
    ],
)
def test_ids_name_the_video(ids, groups):
    dataset = cleaned(split(ids=np.array(ids)))
    found = dataset.splits["train"].groups
    assert (None if found is None else found.tolist()) == groups
    assert ("groups of samples are the videos that their ids name" in dataset.notes) == bool(groups)


def test_a_signalling_nan_is_a_bad_value_like_any_other():
    audio = np.ones((2, 3, 2), np.float32)
    audio.view(np.uint32)[0, 1, 0] = 0x7F800001
    dataset = cleaned(split(audio))
    assert np.isfinite(dataset.splits["train"].features["audio"]).all()
    assert any("1 values are NaN or infinite" in note for note in dataset.notes), dataset.notes


@pytest.mark.parametrize("rule", ["zero", "frame", "column"])
def test_what_stays_in_its_file_is_cleaned_alike(rule, monkeypatch):
    """Looked through in parts, and whenever it is read; features of the file are not changed."""
    monkeypatch.setattr(lazy.pieces, "__defaults__", (4,))

    def dirty(n, seed):
        rng = np.random.default_rng(seed)
        audio, text = rng.normal(size=(n, 5, 3)), rng.normal(size=(n, 4, 2))
        audio[rng.random((n, 5)) < 0.2] = 0
        audio[1, 2, 0] = text[2, 1, 1] = np.nan
        audio[n - 1, 3, 2], audio[0, 0] = 1e300, np.inf
        ids = np.array([f"{seed}-{i}" for i in range(n)])
        return split(audio, valid=rng.random((n, 5)) < 0.8, ids=ids, text=text)

    given = {"train": dirty(9, 0), "test": dirty(6, 1)}
    if rule == "column":
        for part in given.values():
            part.features["audio"][0, 0, 1:] = part.features["audio"][-1, 3, 2] = 1
    stay = {name: lazy_case.staying(part) for name, part in given.items()}
    before = {name: part.features["audio"].copy() for name, part in given.items()}
    found, expected = clean(Dataset(stay), rule), clean(Dataset(given), rule)
    assert found.notes == expected.notes
    assert len([note for note in found.notes if "infinite" in note]) == 4
    for name, part in expected.splits.items():
        assert not found.splits[name].in_memory
        lazy_case.assert_same(found.splits[name], part)
        np.testing.assert_array_equal(before[name], given[name].features["audio"])


def test_of_a_store_all_but_the_features_is_checked():
    audio = np.ones((2, 3, 2), np.float32)
    audio[0, 1] = np.nan
    read = []
    part = lazy_case.staying(split(audio, ids=np.array(["a$_$1", "a$_$2"])), read)
    found = clean(Dataset({"train": part}), stored=True)
    assert read == []
    assert found.splits["train"].groups.tolist() == ["a", "a"]
    with pytest.raises(DataError, match="labels are NaN"):
        clean(Dataset({"train": dataclasses.replace(part, labels=np.full(2, np.nan))}), stored=True)
