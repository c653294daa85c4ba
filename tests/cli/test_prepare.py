"""The command `prepare` itself; training from a store is tested in tests/end_to_end."""

import os
import subprocess
import sys

import numpy as np
import pytest
from command_case import call, finish, read_json, refused, start, tiny_arrays

from fsrf_jax.data.load import load

SIZES = {"train": 40, "valid": 12, "test": 20}
COLUMNS = ("constant", "large", "coarse", "constant_in_train")
FILES = ("x.h5", "x.report.json", "x.report.png")


def test_a_store_holds_what_was_read(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    argv = (tmp_path / "x.npz", "--output", tmp_path / "x.h5", "--modalities", "[audio,vision]")
    assert call("prepare", *argv, "--format", "arrays").status == 0
    expected, found = (load(tmp_path / f"x.{kind}", ("audio", "vision")) for kind in ("npz", "h5"))
    assert found.notes == expected.notes
    for name, split in expected.splits.items():
        np.testing.assert_equal(vars(found.splits[name]), vars(split))


def test_float16_is_said_with_its_error_and_refused_where_it_overflows(tmp_path):
    done, report, notes = prepared(tmp_path, ordinary(), "--dtype", "float16")
    assert done.status == 0, done.err
    said = [note for note in notes if "stored as float16, which changes a value" in note]
    assert [note.split(":")[0] for note in said] == ["audio", "vision"]
    assert report["notes"] == notes
    assert load(tmp_path / "x.h5", ("audio", "vision")).notes[-2:] == tuple(said)
    (tmp_path / "x.h5").unlink()
    arrays = ordinary()
    arrays["valid_audio"][0, 0, 0] = 7e4
    done, _, _ = prepared(tmp_path, arrays, "--dtype", "float16")
    refused(done, 1, "audio: found 70000, above the largest number of float16")
    assert not (tmp_path / "x.h5").exists()


def test_a_long_path_is_printed_whole(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    folder = tmp_path / ("a long name " * 8) / "[bold]"
    folder.mkdir(parents=True)
    done = call("prepare", tmp_path / "x.npz", "--output", folder / "x.h5")
    assert done.out.splitlines()[-3:] == [f"Written: {folder / name}" for name in FILES]


def ordinary():
    """Audio of 4 to 6 frames, padded behind; vision of 2 frames, padded in front; no defect."""
    rng, arrays = np.random.default_rng(5), {}
    for name, n in SIZES.items():
        arrays[f"{name}_label"] = rng.uniform(-3, 3, n)
        arrays[f"{name}_audio"] = rng.normal(size=(n, 6, 8)) + 3
        arrays[f"{name}_audio_lengths"] = 4 + np.arange(n) % 3
        arrays[f"{name}_vision"] = rng.normal(size=(n, 3, 2)) + 9
        arrays[f"{name}_vision"][:, 0] = 0
        arrays[f"{name}_id"] = [f"{name}{i}" for i in range(n)]
        arrays[f"{name}_group"] = [f"{name}-{i % 4}" for i in range(n)]
    return arrays


def prepared(tmp_path, arrays, *argv):
    """The command's answer, its report, and the lines that are notes."""
    np.savez(tmp_path / "x.npz", **arrays)
    argv = ("--output", tmp_path / "x.h5", "--modalities", "[audio,vision]", *argv)
    done = call("prepare", tmp_path / "x.npz", *argv)
    notes = [line[2:] for line in done.out.splitlines() if line.startswith("- ")]
    report = read_json(tmp_path / "x.report.json") if done.status == 0 else None
    return done, report, notes


def cells(done, table, split, modality):
    """The cells of a row of a table of the terminal: the first one, or the second."""
    rows = [line.split() for line in done.out.splitlines()]
    return [" ".join(row[2:]) for row in rows if row[:2] == [split, modality]][table]


def test_data_without_a_defect(tmp_path):
    done, report, notes = prepared(tmp_path, ordinary())
    assert (done.status, done.err) == (0, "")
    assert (report["version"], report["release"], report["aligned"]) == (1, None, False)
    assert report["notes"] == notes
    assert notes[-1] == "modalities are not aligned frame by frame"
    assert report["overlaps"] == []
    assert list(report["splits"]) == ["train", "valid", "test"]
    audio, vision = (report["splits"]["train"]["modalities"][m] for m in ("audio", "vision"))
    nothing = {"count": 0, "first": []}
    for kind in COLUMNS:
        assert audio[kind] == vision[kind] == nothing
    assert [audio[kind] for kind in ("samples", "width", "padded_length", "frames")] == [
        *(40, 8, 6),
        4 * 14 + 5 * 13 + 6 * 13,
    ]
    assert (audio["padding"], vision["padding"]) == ("back", "front")
    assert audio["lengths"] == [4, 4, 5, 6, 6]
    assert vision["lengths"] == [2] * 5
    assert report["length_edges"]["audio"] == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert audio["length_counts"] == [0, 0, 0, 14, 13, 13]
    assert cells(done, 0, "train", "audio") == "40 of 40 8 4 4 5 6 6 0 back"
    assert cells(done, 1, "test", "vision") == "0 % 0 % 0 % 0 0 0"
    assert (tmp_path / "x.report.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"x.npz", *FILES}


def test_lengths_and_frames_that_stand_out(tmp_path):
    arrays = ordinary()
    lengths, train = arrays["train_audio_lengths"], arrays["train_audio"]
    lengths[:] = 5
    lengths[7:10] = 1, 6, 0
    train[1, :2, 0] = np.nan
    train[2, 0, 0] = -np.inf
    train[3, 0, :2] = np.nan, 1e39  # which float32 does not hold
    train[4, 0, 4] = -20_000
    train[0, 1] = 0  # a gap
    done, report, notes = prepared(tmp_path, arrays)
    assert done.status == 0
    audio = report["splits"]["train"]["modalities"]["audio"]
    frames = 37 * 5 + 1 + 6
    assert (audio["samples"], audio["outliers"], audio["frames"]) == (39, 2, frames - 1)
    shares = [audio[kind] * frames for kind in ("zero", "nan", "infinite")]
    assert shares == pytest.approx([1, 3, 2])
    assert audio["large"] == {"count": 1, "first": [4]}
    bad = "train audio: 5 values are NaN or infinite, in 2 of 8 columns (share of the frames): 0 ("
    assert any(note.startswith(bad) for note in notes)
    assert "train: 1 of 40 samples have no audio" in notes


def test_columns_that_say_nothing_or_lose_their_digits(tmp_path):
    arrays = ordinary()
    for name in SIZES:
        arrays[f"{name}_audio_lengths"][:] = 6
        arrays[f"{name}_audio"][..., 2] = 7
        arrays[f"{name}_audio"][..., 5] += 1e7
    arrays["train_audio"][..., 3] = 5
    arrays["valid_audio"][..., 3] = 6
    done, report, notes = prepared(tmp_path, arrays)
    columns = {
        name: {kind: split["modalities"]["audio"][kind]["first"] for kind in COLUMNS}
        for name, split in report["splits"].items()
    }
    assert columns["train"] == dict(zip(COLUMNS, ([2, 3], [5], [5], []), strict=True))
    assert columns["valid"]["constant"] == [2, 3]
    assert columns["test"]["constant"] == [2]
    assert columns["valid"]["constant_in_train"] == columns["test"]["constant_in_train"] == [3]
    assert cells(done, 1, "train", "audio") == "0 % 0 % 0 % 2 (2, 3) 1 (5) 1 (5)"
    assert [note for note in notes if note.startswith("test audio")] == [
        "test audio: columns so far from 0 that float32 rounds their variation: 1 (5); "
        "subtract their means before you save them",
        "test audio: columns that are constant in train, and differ from it here: 1 (3); "
        "nothing is learnt about them",
    ]


def test_labels_beyond_the_usual_range(tmp_path):
    arrays = ordinary()
    arrays["valid_label"][:2] = -4.5, 0.25
    _, report, notes = prepared(tmp_path, arrays)
    low, high = report["splits"]["valid"]["label_range"]
    assert low == -4.5
    ends = report["labels"]["edges"]
    assert (len(ends), ends[0]) == (21, -4.5)
    assert {name: sum(found) for name, found in report["labels"]["counts"].items()} == SIZES
    assert report["labels"]["counts"]["valid"][0] == 1
    high = max(split["label_range"][1] for split in report["splits"].values())
    (note,) = [note for note in notes if note.startswith("labels lie in")]
    assert f"[-4.5, {high:g}], beyond [-3, 3]; train adds data.label_shift" in note


def test_samples_and_groups_that_splits_share(tmp_path):
    arrays = ordinary()
    arrays["test_group"][:3] = ["train-1", "train-2", "train-1"]
    for m in ("audio", "vision", "audio_lengths"):
        arrays[f"train_{m}"][9] = arrays[f"train_{m}"][3]
    done, report, notes = prepared(tmp_path, arrays)
    assert done.status == 0
    assert notes[-2:] == [
        "train: 1 samples repeat another's features (first: 'train3' and 'train9')",
        "2 groups of 'train' are also in 'test' (first: 'train-1')",
    ]
    assert [shared["kind"] for shared in report["overlaps"]] == ["features", "group"]
    assert report["splits"]["test"]["groups"] == 6


def test_the_same_sample_in_two_splits_is_an_error_unless_allowed(tmp_path):
    arrays = ordinary()
    arrays["test_id"][4] = "train7"
    for m in ("audio", "vision", "audio_lengths"):
        arrays[f"test_{m}"][2] = arrays[f"train_{m}"][5]
    done, _, _ = prepared(tmp_path, arrays)
    ids = "1 samples of 'test' have an id of 'train' (first: 'train7')"
    features = "1 samples of 'test' have the features of 'train' (first: 'train5' and 'test2')"
    refused(done, 1, f"{ids}; {features}; expected no sample in two of", "--allow_duplicates")
    assert cells(done, 0, "train", "audio")  # the report comes first
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    done, report, notes = prepared(tmp_path, arrays, "--allow_duplicates")
    assert done.status == 0
    assert notes[-2:] == report["notes"][-2:] == [ids, features]


@pytest.mark.parametrize(
    ("rule", "width", "frames"), [("zero", 8, 5), ("column", 7, 5), ("frame", 8, 0)]
)
def test_bad_values_are_mended_by_the_rule(tmp_path, rule, width, frames):
    arrays = ordinary()
    arrays["train_audio"][1, :, 6] = -np.inf
    assert prepared(tmp_path, arrays, "--bad_values", rule)[0].status == 0
    split = load(tmp_path / "x.h5", ("audio",)).splits["train"]
    assert split.features["audio"].shape[2] == width
    assert split.present["audio"][1].sum() == frames


def test_a_release_and_modalities_that_are_aligned(tmp_path):
    rng, arrays = np.random.default_rng(0), {}
    for name, n in (("train", 1284), ("valid", 229), ("test", 686)):
        arrays[f"{name}_label"] = np.arange(n) % 3
        for m in ("audio", "vision"):
            arrays[f"{name}_{m}"] = rng.normal(size=(n, 2, 1))
            arrays[f"{name}_{m}"][0, 1] = 0
    done, report, notes = prepared(tmp_path, arrays)
    assert (report["release"], report["aligned"]) == ("CMU-MOSI", True)
    assert notes[-2:] == [
        "modalities are aligned frame by frame",
        "train, valid and test have as many samples as those of CMU-MOSI",
    ]
    assert "valid: labels 0 x 77, 1 x 76, 2 x 76" in done.out
    assert report["labels"]["names"] == ["0", "1", "2"]


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".x.h5.{gone.pid}.part", f".x.report.json.{os.getpid()}.part"):
        (tmp_path / name).write_text("half")
    assert prepared(tmp_path, ordinary())[0].status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.npz", *FILES}


def test_nothing_but_the_report_in_a_pipe(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    done = finish(start("prepare", tmp_path / "x.npz", "--output", tmp_path / "x.h5"))
    assert (done.status, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert done.out.splitlines()[-1] == f"Written: {tmp_path / 'x.report.png'}"
