import numpy as np
import pytest
from format_case import WORLD, mag, misa, to_pickle, word_tuple

from fsrf_jax.data.frames import word_ids
from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError


@pytest.mark.parametrize("write", [mag, misa])
def test_words_are_token_ids(tmp_path, write):
    dataset = load(write(tmp_path), ("language", "audio"))
    assert dataset.tokens == ("language",)
    assert "split 'dev' of the file is 'valid'" in dataset.notes
    for split, samples in WORLD.items():
        read = dataset.splits[split]
        for row, valid, sample in zip(
            read.features["language"], read.valid["language"], samples, strict=True
        ):
            # word0, word1, .. are 2, 3, ..
            expected = [2 + int(word.removeprefix("word")) for word in sample.words]
            assert row[valid, 0].tolist() == expected
            assert not row[~valid].any()


def test_words_that_train_does_not_have_are_unknown():
    ids = word_ids({"train": [["b", b"a"]], "test": [["a", "c"], []]})
    assert [x.tolist() for x in ids["train"]] == [[[3], [2]]]
    assert [x.tolist() for x in ids["test"]] == [[[2], [1]], []]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [1, 2]}, "no split; expected a dictionary with train"),
        ([word_tuple(WORLD["train"][0], with_ids=False)], "holds a list; expected a dictionary"),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        load(to_pickle(tmp_path / "x.pkl", content), ("audio",))
    with pytest.raises(DataError, match="without word tuples; expected a dictionary of"):
        load(tmp_path / "x.pkl", ("audio",), format="words")


def test_the_modalities_are_three(tmp_path):
    with pytest.raises(DataError, match=r"no modality 'visoin'; .*did you mean 'vision'"):
        load(mag(tmp_path), ("visoin",))


def test_features_of_unequal_width_are_an_error(tmp_path):
    (words, visual, audio), label, segment = word_tuple(WORLD["train"][0], with_ids=False)
    wide = ((words, visual, np.ones((2, 9))), label, "v[1]")
    path = to_pickle(
        tmp_path / "x.pkl", {"train": [((words, visual, audio), label, segment), wide]}
    )
    with pytest.raises(
        DataError, match=r"'train': audio has sequences of shapes \(2, 3\), \(2, 9\)"
    ):
        load(path, ("audio",))
