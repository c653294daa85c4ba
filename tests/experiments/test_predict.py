"""Files in, a file of predictions out: those of the evaluation, whatever the files."""

import contextlib
import csv
import dataclasses
import json
import os

import numpy as np
import pytest
from command_case import TINY, call, read_arrays

import fsrf_jax
from fsrf_jax import inference
from fsrf_jax.data.tokens import as_ids
from fsrf_jax.errors import ConfigError, DataError
from fsrf_jax.experiments.predict import Asked, predict_files
from fsrf_jax.reporting.prediction_files import writer
from fsrf_jax.source import open_source

MODALITIES = ("language", "audio", "vision")


@pytest.fixture(scope="module")
def network(trained):
    return fsrf_jax.load(trained.folder).network


@pytest.fixture(scope="module")
def samples(network):
    """The test split as it was before it was normalised."""
    return open_source(network.config.data).split("test")


@pytest.fixture(scope="module")
def expected(trained):
    arrays = read_arrays(trained.folder / "predictions.npz")
    return dict(zip(arrays["conditions"].tolist(), arrays["predictions"][:, 0], strict=True))


def write(path, samples, modalities=MODALITIES, **more):
    arrays = {f"test_{m}": samples.features[m] for m in modalities}
    lengths = {f"test_{m}_lengths": samples.valid[m].sum(axis=1) for m in modalities}
    np.savez(path, test_id=samples.ids, **arrays, **lengths, **more)
    return path


def write_folder(path, samples):
    path.mkdir()
    for i, name in enumerate(samples.ids):
        own = {m: samples.features[m][i][samples.valid[m][i]] for m in MODALITIES}
        np.savez(path / f"{name.replace('/', '_')}.npz", **own)
    return path


def read(path):
    """Columns of a .csv, texts."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("condition", ["language+audio+vision", "audio", "language+vision"])
def test_a_file_has_the_predictions_of_the_evaluation(
    network, samples, expected, condition, tmp_path
):
    given = condition.split("+")
    path = write(tmp_path / "x.npz", samples, given)
    summary = predict_files(network, [path], tmp_path / "x.csv", Asked(rows=7))
    found = read(tmp_path / "x.csv")
    assert list(found) == ["id", "prediction", *(f"observed_{m}" for m in MODALITIES)]
    assert found["id"] == samples.ids.tolist()
    values = np.array(found["prediction"], np.float32)
    np.testing.assert_allclose(values, expected[condition], atol=1e-5)
    for m in MODALITIES:
        assert found[f"observed_{m}"] == [str(float(m in given))] * 24
    assert summary.predicted == 24
    assert summary.without == tuple(m for m in MODALITIES if m not in given)
    assert (summary.empty, summary.unread, summary.files) == (0, [], [tmp_path / "x.csv"])


def test_a_folder_of_samples_has_those_of_one_file(network, samples, tmp_path):
    write(tmp_path / "x.npz", samples)
    folder = write_folder(tmp_path / "one", samples)
    for rows in (5, 100):
        out = tmp_path / f"{rows}.npz"
        predict_files(network, [folder], out, Asked(rows=rows))
        found = read_arrays(out)
        whole = tmp_path / f"whole{rows}.npz"
        predict_files(network, [tmp_path / "x.npz"], whole, Asked())
        assert found["id"].tolist() == [name.replace("/", "_") for name in samples.ids]
        expected = read_arrays(whole)["prediction"]
        np.testing.assert_allclose(found["prediction"], expected, atol=1e-5)


def test_at_equal_padding_and_number_they_are_those_of_the_evaluation_bit_by_bit(
    network, samples, tmp_path
):
    first = samples.take(slice(0, 16))
    wide = dataclasses.replace(
        first,
        features={m: np.pad(x, [(0, 0), (0, 2), (0, 0)]) for m, x in first.features.items()},
        valid={m: np.pad(v, [(0, 0), (0, 2)]) for m, v in first.valid.items()},
        present={m: np.pad(p, [(0, 0), (0, 2)]) for m, p in first.present.items()},
    )
    predict_files(network, [write(tmp_path / "x.npz", wide)], tmp_path / "found.npz", Asked())
    of_evaluation = inference.make_predictor(
        network.recipe.method,
        network.recipe.setting,
        network.mesh,
        network.parameters,
        network.normaliser.apply(wide),
        network.config.evaluation.batch_size,
    )
    found = read_arrays(tmp_path / "found.npz")["prediction"]
    np.testing.assert_array_equal(found, of_evaluation(wide.present))


@pytest.mark.parametrize("ending", [".jsonl", ".npz"])
def test_codes_are_those_of_the_split(trained, network, samples, ending, tmp_path):
    path, out = write(tmp_path / "x.npz", samples), tmp_path / f"out{ending}"
    predict_files(network, [path], out, Asked(codes=True, rows=10))
    expected = fsrf_jax.load(trained.folder).codes()
    if ending == ".npz":
        found = read_arrays(out)
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.testing.assert_allclose(found["fused"], expected.fused, atol=1e-5)
    for name in ("pooled", "homogeneous", "heterogeneous", "noise"):
        for i, m in enumerate(expected.modalities):
            np.testing.assert_allclose(
                found[f"{name}_{m}"], getattr(expected, name)[i], atol=1e-5, err_msg=name
            )


def test_gaps_are_missing_and_nothing_else_is_masked(network, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 6, 32)).astype(np.float32)
    x[0, 1] = 0
    x[1, :, 3] = np.nan
    x[2, 0] = np.nan  # nothing else in this frame
    x[3] = 0
    lengths = np.array([4, 4, 4, 4])
    np.savez(tmp_path / "x.npz", test_language=x[:, :4], test_language_lengths=lengths)
    summary = predict_files(network, [tmp_path / "x.npz"], tmp_path / "a.csv", Asked())
    found = read(tmp_path / "a.csv")
    assert found["observed_language"] == ["0.75", "1.0", "0.75", "0.0"]
    assert (summary.predicted, summary.empty) == (4, 1)
    alone = network.predict({"language": x[0, :4]})
    np.testing.assert_allclose(float(found["prediction"][0]), alone.values, atol=1e-5)
    nothing = network.predict({"language": np.zeros((2, 32))})
    np.testing.assert_allclose(float(found["prediction"][3]), nothing.values, atol=1e-5)


def test_several_inputs_follow_each_other_and_what_is_unread_is_listed(network, samples, tmp_path):
    folder = write_folder(tmp_path / "one", samples.take(slice(0, 3)))
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 no more")
    path = write(tmp_path / "x.npz", samples.take(slice(3, 5)))
    out = tmp_path / "out.jsonl"
    summary = predict_files(network, [folder, path], out, Asked())
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"].replace("_", "/") for row in rows] == samples.ids[:5].tolist()
    assert [row["input"] for row in rows] == 3 * [str(folder)] + 2 * [str(path)]
    (unread,) = summary.unread
    assert unread.id == "broken"
    assert summary.files == [out, tmp_path / "out.unread.csv"]
    with summary.files[1].open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "reason"], list(unread)]


def test_without_any_sample_nothing_is_written(network, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.npz").write_bytes(b"PK\x03\x04 no more")
    for ending in (".csv", ".jsonl", ".npz"):
        with pytest.raises(DataError, match="none of 1 samples could be read; the first"):
            predict_files(network, [tmp_path / "one"], tmp_path / f"out{ending}", Asked())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_does_not_fit_is_refused_before_anything_is_read(network, samples, tmp_path):
    path = write(tmp_path / "x.npz", samples)
    there = tmp_path / "there.csv"
    there.write_text("mine")
    (tmp_path / "z.unread.csv").write_text("mine")
    (tmp_path / "w.explained.png").write_text("mine")
    for out, asked, message in (
        (tmp_path / "x.txt", Asked(), "expected a file ending in .csv, .jsonl, .npz"),
        (tmp_path / "no" / "x.csv", Asked(), "in a folder that is there"),
        (there, Asked(), "exists already"),
        (tmp_path / "y.csv", Asked(codes=True), "a .csv has no room"),
        (tmp_path / "y.csv", Asked(modalities=("sound",)), "found 'sound', expected some of"),
        (tmp_path / "y.csv", Asked(modalities=()), "--modalities: found none"),
        (tmp_path / "y.csv", Asked(rows=0), "--rows: found 0"),
        (tmp_path / "z.jsonl", Asked(), "z.unread.csv exists already"),
        (tmp_path / "w.jsonl", Asked(explain=True), "w.explained.png exists already"),
    ):
        with pytest.raises(ConfigError, match=message):
            predict_files(network, [path], out, asked)
    assert there.read_text() == "mine"
    assert not (tmp_path / "y.csv").exists()


def test_an_explanation_sums_to_the_prediction(network, samples, expected, tmp_path):
    path, out = write(tmp_path / "x.npz", samples), tmp_path / "out.npz"
    summary = predict_files(network, [path], out, Asked(explain=True, rows=9))
    assert summary.files == [out, tmp_path / "out.explained.png"]
    found = read_arrays(out)
    parts = sum(found[f"shapley_{m}"] for m in MODALITIES)
    np.testing.assert_allclose(found["nothing"] + parts, found["prediction"], atol=1e-5)
    # Of the definition: all orders of three.
    value = {condition: np.asarray(x, np.float64) for condition, x in expected.items()}
    nothing = found["nothing"].astype(np.float64)
    one, a, v = (value[m] for m in MODALITIES)
    la, lv, av = (value[c] for c in ("language+audio", "language+vision", "audio+vision"))
    whole = value["language+audio+vision"]
    language = (2 * (one - nothing) + (la - a) + (lv - v) + 2 * (whole - av)) / 6
    np.testing.assert_allclose(found["shapley_language"], language, atol=1e-5)
    occlusion = found["occlusion_audio"]
    assert occlusion.shape == (24, 6)
    i, t = 3, 1
    own = {m: samples.features[m][i][samples.valid[m][i]].copy() for m in MODALITIES}
    before = network.predict(own).values
    own["audio"][t] = 0
    np.testing.assert_allclose(occlusion[i, t], before - network.predict(own).values, atol=1e-5)
    for j in range(24):
        frame = found["frame_audio"][j]
        assert abs(occlusion[j]).max() == abs(occlusion[j, frame])
        assert found["change_audio"][j] == occlusion[j, frame]
    np.testing.assert_array_equal(occlusion[~samples.valid["audio"]], 0)


def test_what_is_not_there_is_owed_nothing(network, samples, tmp_path):
    path = write(tmp_path / "x.npz", samples, ("language", "vision"))
    predict_files(network, [path], tmp_path / "out.csv", Asked(explain=True))
    found = read(tmp_path / "out.csv")
    assert set(found["shapley_audio"]) <= {"0.0", "-0.0"}
    assert set(found["frame_audio"]) == {"-1"}
    assert set(found["change_audio"]) == {"0.0"}
    assert all(int(frame) >= 0 for frame in found["frame_vision"])


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        ("gaussian", (), ("prediction", "std")),
        ("cross_entropy", ("--data.cuts", "[-1,0,1]"), [f"prediction_{i}" for i in range(4)]),
        (
            "binary_cross_entropy",
            ("--data.cuts", "[-1,1]", "--data.tasks", "[low,high]"),
            ("prediction_low", "prediction_high"),
        ),
    ],
)
def test_columns_follow_the_task(kind, options, names, tmp_path):
    argv = (*TINY, "--task.kind", kind, "--method.name", "late_fusion", *options)
    done = call("train", *argv, "--output.directory", tmp_path / "run")
    assert done.status == 0, done.err
    run = fsrf_jax.load(tmp_path / "run")
    samples = open_source(run.config.data, run.config.task.form).split("test")
    path, out = write(tmp_path / "x.npz", samples), tmp_path / "out.npz"
    predict_files(run.network, [path], out, Asked(explain=True))
    found = read_arrays(out)
    arrays = read_arrays(tmp_path / "run" / "predictions.npz")
    place = arrays["conditions"].tolist().index("language+audio+vision")
    values = arrays["predictions"][place, 0].reshape(24, -1)
    lengths = {m: v.sum(axis=1) for m, v in samples.valid.items()}
    direct = run.predict(lengths, **samples.features)
    np.testing.assert_allclose(direct.values, arrays["predictions"][place, 0], atol=1e-5)
    assert json.loads((tmp_path / "run" / "shapes.json").read_text())["samples"] == 40
    alone = run.predict(**{m: x[0] for m, x in samples.features.items()})
    if kind == "gaussian":
        spread = np.exp(arrays["log_variances"][place, 0] / 2)
        values = np.stack([values[:, 0], spread], axis=1)
        np.testing.assert_allclose(direct.std, spread, rtol=1e-4)
        assert alone.std.shape == ()
    else:
        assert (direct.std, alone.std) == (None, None)
        assert direct.values.shape == (24, len(names))
    for i, name in enumerate(names):
        np.testing.assert_allclose(found[name], values[:, i], atol=1e-5)
    of = [""] if kind == "gaussian" else [name.removeprefix("prediction") for name in names]
    for end in of:
        parts = sum(found[f"shapley_{m}{end}"] for m in MODALITIES)
        whole = found[f"prediction{end}"]
        np.testing.assert_allclose(found[f"nothing{end}"] + parts, whole, atol=1e-5)
    if kind == "cross_entropy":  # probabilities sum to 1, so what is owed sums to 0
        owed = sum(found[f"shapley_audio{end}"] for end in of)
        np.testing.assert_allclose(owed, 0, atol=1e-5)
        chosen = values.argmax(axis=1)
        assert found["occlusion_audio"].shape == (24, 6)
        assert len(set(chosen.tolist())) >= 1


def test_parts_of_unequal_length_are_filled_up_in_an_npz(tmp_path):
    with writer(tmp_path / "a.npz") as append:
        append({"id": np.array(["a"]), "x": np.ones((1, 2), np.float32), "n": np.array([1])})
        append({"id": np.array(["bb"]), "x": np.full((1, 3), 2, np.float32), "n": np.array([2])})
    found = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["x"], np.array([[1, 1, np.nan], [2, 2, 2]], np.float32))
    assert found["id"].tolist() == ["a", "bb"]
    assert found["n"].tolist() == [1, 2]


def test_numbers_have_their_shortest_digits_and_come_back_the_same(tmp_path):
    x = np.random.default_rng(0).normal(size=50).astype(np.float32)
    for ending in (".csv", ".jsonl"):
        with writer(tmp_path / f"a{ending}") as append:
            append({"id": np.array(["ä,\n"] * 50), "x": x})
    found = read(tmp_path / "a.csv")
    assert set(found["id"]) == {"ä,\n"}
    np.testing.assert_array_equal(np.array(found["x"], np.float32), x)
    assert max(map(len, found["x"])) <= 14
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    np.testing.assert_array_equal(np.array([row["x"] for row in rows], np.float32), x)


def test_a_write_that_fails_leaves_nothing(tmp_path):
    for ending in (".csv", ".jsonl", ".npz"):
        with contextlib.suppress(KeyError), writer(tmp_path / f"a{ending}") as append:
            append({"id": np.array(["a"]), "x": np.ones(1, np.float32)})
            raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_ids_are_different_and_can_be_written(network, samples, tmp_path):
    few = dataclasses.replace(samples.take(slice(0, 2)), ids=np.array(["a", "a"]))
    path = write(tmp_path / "x.npz", few)
    with pytest.raises(DataError, match="the id 'a' occurs more than once"):
        predict_files(network, [path], tmp_path / "a.csv", Asked(rows=1))
    assert not (tmp_path / "a.csv").exists()
    few = dataclasses.replace(few, ids=np.array(["a\r\nb", "ü \x01"]))
    predict_files(network, [write(tmp_path / "y.npz", few)], tmp_path / "a.csv", Asked())
    assert read(tmp_path / "a.csv")["id"] == ["a\\r\\nb", "ü \\x01"]
    folder = write_folder(tmp_path / "one", samples.take(slice(0, 1)))
    (file,) = folder.iterdir()
    file.rename(folder / os.fsdecode(b"caf\xe9.npz"))
    predict_files(network, [folder], tmp_path / "b.csv", Asked(explain=True))
    assert read(tmp_path / "b.csv")["id"] == ["caf\\udce9"]


def test_token_ids_are_checked_as_in_the_data():
    assert as_ids("x", np.array([[[3.0]]])).dtype == np.int32
    for wrong in (3.7, -5.0):
        with pytest.raises(DataError, match="expected one whole number"):
            as_ids("x", np.array([[[wrong]]]))


def test_lengths_of_what_is_not_given_are_refused(network):
    with pytest.raises(DataError, match="lengths: found 'langage', expected some of language"):
        network.predict({"language": np.ones((2, 3, 32))}, {"langage": [1, 2]})
    one = network.predict({"language": np.ones((1, 3, 32))}, {"language": 3})
    assert one.values.shape == (1,)
