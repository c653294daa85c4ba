"""Every format gives the same samples: those that its file was written from."""

import re

import numpy as np
import pytest
import yaml
from command_case import ROOT
from format_case import CASES, CLASSES, FRAMES, SIZES, WORLD, padded

from fsrf_jax.data import store
from fsrf_jax.data.formats import mapping
from fsrf_jax.data.load import READERS, load
from fsrf_jax.data.names import modality_of


@pytest.mark.parametrize("name", CASES)
def test_what_was_written_is_read(name, tmp_path):
    case = CASES[name]
    path = case.write(tmp_path)
    found = [name for name, reader in READERS.items() if reader.recognises(path)]
    assert found[-1] == case.format
    dataset = load(path, case.modalities)
    assert set(dataset.splits) == set(SIZES)
    assert dataset.classes == (CLASSES if name == "samples" else ())
    for split, samples in WORLD.items():
        read = dataset.splits[split]
        # A set of videos has no order: theirs is sorted.
        assert read.ids.tolist() == [case.id(sample) for sample in samples]
        groups = [sample.video for sample in samples]
        assert (read.groups is None) if not case.groups else (read.groups.tolist() == groups)
        np.testing.assert_array_equal(read.labels, case.labels(samples))
        for m in case.modalities:
            expected = padded(samples, m, case.front)
            np.testing.assert_allclose(read.features[m], expected, rtol=1e-5, atol=1e-6)
            frames = np.arange(FRAMES)[None]
            lengths = np.array([len(sample.words) for sample in samples])[:, None]
            valid = frames >= FRAMES - lengths if case.front else frames < lengths
            np.testing.assert_array_equal(read.valid[m], valid)


FOLDERS = "gcnet", "mmin", "csd"
"""Formats whose folders hold other features of the same modalities as well."""


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.format not in FOLDERS])
def test_modalities_that_nobody_asked_for_are_named(name, tmp_path):
    path = CASES[name].write(tmp_path)
    notes = load(path, ("audio",)).notes
    (note,) = (note for note in notes if note.startswith("not asked for, and not read: "))
    others = sorted(map(modality_of, note.partition(": ")[2].split(", ")))
    assert others == ["language", "vision"]
    everything = load(path, ("audio", "language", "vision"))
    assert not any("not asked for" in note for note in everything.notes)
    store.write(tmp_path / "all.h5", everything)
    assert any(
        note.startswith("not asked for") for note in load(tmp_path / "all.h5", ("audio",)).notes
    )


@pytest.mark.parametrize("name", ["samples", "csd"])
def test_groups_and_classes_survive_the_store(name, tmp_path):
    case = CASES[name]
    dataset = load(case.write(tmp_path), case.modalities)
    store.write(tmp_path / "x.h5", dataset)
    found = load(tmp_path / "x.h5", case.modalities)
    assert found.classes == dataset.classes
    assert found.tokens == dataset.tokens
    for split in SIZES:
        pair = found.splits[split].groups, dataset.splits[split].groups
        np.testing.assert_array_equal(*pair)


def test_every_format_has_a_case():
    assert {case.format for case in CASES.values()} == set(READERS) - {"store"}


def test_every_format_has_its_row_in_the_docs():
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    table = page.partition("| format |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert set(READERS) == set(rows)
    example = yaml.safe_load(re.search(r"```yaml\n(file: .*?)```", page, re.DOTALL)[1])
    assert example.keys() == {*mapping._KEYS, *mapping._OPTIONAL}
