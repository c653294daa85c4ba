import dataclasses
import re

import numpy as np
import pytest
from command_case import tiny_arrays
from format_case import mag

from fsrf_jax.config import DataConfig
from fsrf_jax.data import labels, synthetic
from fsrf_jax.data.synthetic import SyntheticOptions
from fsrf_jax.errors import ConfigError, DataError
from fsrf_jax.source import open_source

SMALL = SyntheticOptions(train=20, valid=10, test=12, frames=4, min_frames=2)


@pytest.fixture
def npz(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    return str(tmp_path / "x.npz")


def test_built_in_data_come_with_their_oracle():
    source = open_source(DataConfig(synthetic=SMALL))
    assert {name: len(split) for name, split in source.dataset.splits.items()} == {
        "train": 20,
        "valid": 10,
        "test": 12,
    }
    split = source.split("test")
    expected = synthetic.posterior_mean(source.world, split.features, split.valid)
    np.testing.assert_allclose(source.oracle("test")(split.valid), expected)


def test_a_file_has_no_oracle_and_its_labels_are_shifted(npz):
    config = DataConfig(source="file", path=npz, label_shift=-3.0)
    source = open_source(config)
    assert source.oracle("test") is None
    labels = tiny_arrays()["test_label"] - 3
    np.testing.assert_allclose(source.split("test").labels, labels, rtol=1e-5)
    assert source.split("test").labels.dtype == np.float32


def test_modalities_are_those_of_the_config(npz):
    config = DataConfig(source="file", path=npz, modalities=("vision", "audio"))
    assert open_source(config).split("train").modalities == ("vision", "audio")


def test_folds_are_dealt_after_the_shift(npz):
    config = DataConfig(source="file", path=npz, folds=5, fold=2, label_shift=1.0)
    config = dataclasses.replace(config, allow_pooled_test=True)
    source = open_source(config)
    sizes = {name: len(split) for name, split in source.dataset.splits.items()}
    assert sizes == {"train": 64, "valid": 8, "test": 8}
    arrays = tiny_arrays()
    for i, label in zip(source.split("test").ids, source.split("test").labels, strict=True):
        split, _, row = i.partition("/")
        assert label == pytest.approx(arrays[f"{split}_label"][int(row)] + 1, rel=1e-5)


def test_built_in_data_can_be_dealt_too():
    source = open_source(DataConfig(synthetic=SMALL, folds=11, allow_pooled_test=True))
    split = source.split("test")
    assert len(split) == 2
    expected = synthetic.posterior_mean(source.world, split.features, split.valid)
    np.testing.assert_allclose(source.oracle("test")(split.valid), expected)


@pytest.mark.parametrize(("form", "outputs"), [("class", 3), ("binary", 2)])
def test_built_in_labels_are_cut_and_so_is_their_oracle(form, outputs):
    source = open_source(
        DataConfig(synthetic=SMALL, cuts=(-0.5, 1.0), folds=3, allow_pooled_test=True), form
    )
    numbers = open_source(DataConfig(synthetic=SMALL, folds=3, allow_pooled_test=True))
    assert (source.form, source.outputs) == (form, outputs)
    assert (numbers.form, numbers.outputs) == ("number", 1)
    for name in ("train", "valid", "test"):
        expected = labels.cut_labels(numbers.split(name).labels, (-0.5, 1.0), form)
        np.testing.assert_array_equal(source.split(name).labels, expected)
    split = source.split("test")
    law = synthetic.make_posterior(source.world, split.features)(split.valid)
    expected = labels.cut_gaussian(*law, (-0.5, 1.0), form)
    assert expected.shape == (len(split), outputs)
    np.testing.assert_allclose(source.oracle("test")(split.valid), expected)
    assert source.fingerprint != numbers.fingerprint


def test_labels_of_a_file_are_cut_after_the_shift(npz):
    config = DataConfig(source="file", path=npz, label_shift=-3.0, cuts=(-3.0,))
    source = open_source(config, "class")
    assert source.outputs == 2
    np.testing.assert_array_equal(source.split("test").labels, tiny_arrays()["test_label"] > 0)


def test_classes_and_tasks_of_a_file_are_taken_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    for form, width, y in (("class", 5, (5,)), ("binary", 4, (2, 4))):
        made = {f"{s}_label": rng.integers(y[0], size=(n, *y[1:]))
                for s, n in (("train", 40), ("valid", 16), ("test", 24))}  # fmt: skip
        np.savez(tmp_path / "y.npz", **tiny_arrays(**made))
        source = open_source(DataConfig(source="file", path=str(tmp_path / "y.npz")), form)
        assert source.outputs == width
        np.testing.assert_array_equal(source.split("valid").labels, made["valid_label"])


def test_labels_and_cuts_must_fit_the_form(npz):
    with pytest.raises(DataError, match=r"'train': 40 of 40 labels do not fit .*give data\.cuts"):
        open_source(DataConfig(source="file", path=npz), "class")
    with pytest.raises(ConfigError, match=r"data\.cuts: found nothing, .*give --data\.cuts"):
        open_source(DataConfig(synthetic=SMALL), "binary")
    with pytest.raises(ConfigError, match=r"data\.cuts: found \[0\.0\], expected nothing"):
        open_source(DataConfig(synthetic=SMALL, cuts=(0.0,)))
    with pytest.raises(ConfigError, match=r"data\.cuts: .*increasing"):
        open_source(DataConfig(synthetic=SMALL, cuts=(1.0, 0.0)), "class")


def test_a_split_that_is_not_there():
    source = open_source(DataConfig(synthetic=SMALL))
    with pytest.raises(DataError, match="no split 'tets'; they have train, valid, test"):
        source.split("tets")
    with pytest.raises(DataError, match="no split 'tets'"):
        open_source(DataConfig(synthetic=SMALL)).oracle("tets")
    empty = dataclasses.replace(source.dataset, splits={"test": source.split("test").head(0)})
    with pytest.raises(DataError, match="'test' has no samples"):
        dataclasses.replace(source, dataset=empty).split("test")


def test_options_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"data\.synthetic\.widths"):
        open_source(DataConfig(synthetic=SMALL, modalities=("a", "b")))


def test_the_fingerprint_is_of_all_that_counts():
    source = open_source(DataConfig(synthetic=SMALL))
    assert source.fingerprint == open_source(DataConfig(synthetic=SMALL)).fingerprint

    def changed(part):
        fresh = open_source(DataConfig(synthetic=SMALL)).dataset
        split = fresh.splits["test"]
        if part == "features":
            split.features["audio"][1, 0, 0] += 1
        elif part == "valid":
            split.valid["audio"][1, 0] ^= True
        elif part == "labels":
            split.labels[1] += 1
        elif part == "ids":
            split.ids[1] = "other"
        elif part == "modality":
            split = dataclasses.replace(
                split,
                features={f"x{m}": x for m, x in split.features.items()},
                valid={f"x{m}": v for m, v in split.valid.items()},
            )
        name = "dev" if part == "name" else "test"
        splits = {k: v for k, v in fresh.splits.items() if k != "test"}
        dataset = dataclasses.replace(fresh, splits={**splits, name: split})
        return dataclasses.replace(source, dataset=dataset).fingerprint

    found = {changed(p) for p in ("features", "valid", "labels", "ids", "modality", "name")}
    assert len(found) == 6
    assert source.fingerprint not in found
    assert changed(None) == source.fingerprint


def test_token_ids_are_counted_by_what_is_trained_on(tmp_path):
    path = str(mag(tmp_path))
    config = DataConfig(source="file", path=path, modalities=("language", "audio"))
    for changes in ({}, {"folds": 5, "allow_pooled_test": True}):
        source = open_source(dataclasses.replace(config, **changes))
        ids = source.split("train").features["language"]
        assert ids.dtype == np.int32
        assert source.vocabulary == {"language": 1 + ids.max()}
        assert source.split("train").features["audio"].dtype == np.float32
    assert open_source(dataclasses.replace(config, modalities=("audio",))).vocabulary == {}


def test_a_column_of_the_labels_is_shifted(tmp_path):
    labels = {
        f"{s}_label": np.arange(7.0 * n).reshape(n, 7)
        for s, n in zip(("train", "valid", "test"), (40, 16, 24), strict=True)
    }
    np.savez(tmp_path / "x.npz", **tiny_arrays(**labels))
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"), label_column=2, label_shift=-1)
    assert open_source(config).split("test").labels[:2].tolist() == [1, 8]
    several = dataclasses.replace(config, label_column=(1, 6), cuts=(10.0,), label_shift=0.0)
    source = open_source(several, "binary")
    assert source.split("test").labels[:2].tolist() == [[0, 0], [0, 1]]
    assert source.outputs == 2


def leaking():
    """Arrays whose test sample 5 is training sample 2."""
    arrays = tiny_arrays()
    for m in ("language", "audio", "vision"):
        arrays[f"test_{m}"][5] = arrays[f"train_{m}"][2]
    return arrays


def test_a_sample_in_training_and_test_is_refused_unless_allowed(tmp_path):
    np.savez(tmp_path / "x.npz", **leaking())
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"))
    shared = "1 samples of 'test' have the features of 'train' (first: 'train/2' and 'test/5')"
    with pytest.raises(DataError, match=re.escape(shared)):
        open_source(config)
    notes = open_source(dataclasses.replace(config, allow_duplicates=True)).dataset.notes
    assert notes[-1] == shared


def test_folds_are_looked_at_as_they_are_dealt(tmp_path):
    arrays = tiny_arrays()
    for m in ("language", "audio", "vision"):
        arrays[f"test_{m}"][:] = arrays[f"test_{m}"][0]
    np.savez(tmp_path / "x.npz", **arrays)
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"))
    assert any("23 samples repeat" in note for note in open_source(config).dataset.notes)
    with pytest.raises(DataError, match="of 'test' have the features of 'train'"):
        open_source(dataclasses.replace(config, folds=5, allow_pooled_test=True))


@pytest.mark.parametrize(
    ("rule", "width", "frames"), [("zero", 16, 6), ("frame", 16, 0), ("column", 15, 6)]
)
def test_bad_values_are_mended_as_the_config_says(tmp_path, rule, width, frames):
    arrays = tiny_arrays()
    arrays["train_audio"][3, :, 1] = -np.inf
    np.savez(tmp_path / "x.npz", **arrays)
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"), bad_values=rule)
    split = open_source(config).split("train")
    assert split.features["audio"].shape[2] == width
    assert split.present["audio"][3].sum() == frames


def test_a_test_split_enters_training_only_if_that_is_asked_for(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"), folds=3)
    with pytest.raises(DataError, match=r"data\.folds 3 .*--data\.allow_pooled_test true"):
        open_source(config)
    allowed = dataclasses.replace(config, allow_pooled_test=True)
    found = open_source(allowed).dataset.splits
    assert any(i.startswith("test") for i in found["train"].ids)


def test_a_file_without_a_validation_split_is_given_one(tmp_path):
    arrays = {k: v for k, v in tiny_arrays().items() if not k.startswith("valid")}
    np.savez(tmp_path / "x.npz", **arrays)
    config = DataConfig(source="file", path=str(tmp_path / "x.npz"), valid_share=0.25)
    splits = open_source(config).dataset.splits
    assert len(splits["train"]) + len(splits["valid"]) == 40
    assert 9 <= len(splits["valid"]) <= 11


def test_one_class_in_all_splits_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 4), ("valid", 2), ("test", 2)):
        arrays[f"{split}_label"] = np.array(["happy"] * n)
        for modality in ("language", "audio"):
            arrays[f"{split}_{modality}"] = rng.normal(size=(n, 3, 2))
    np.savez(tmp_path / "x.npz", **arrays)
    config = DataConfig(
        source="file", path=str(tmp_path / "x.npz"), modalities=("language", "audio")
    )
    with pytest.raises(DataError, match="found one class, happy, in all splits, expected two"):
        open_source(config, "class")
    assert open_source(config, "class", trained=True).outputs == 2
