"""The folder of an export: read back bit for bit, whole or refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from export_case import network_of, raw_samples

import fsrf_jax
from fsrf_jax import arguments
from fsrf_jax.errors import RunError
from fsrf_jax.experiments import export, exported
from fsrf_jax.methods import Corrkd

FILES = ["config.yaml", "example.py", "manifest.json", "model.stablehlo", "weights.safetensors"]


@pytest.fixture(scope="module")
def run(trained):
    return fsrf_jax.load(trained.folder)


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    """An export that no test may change."""
    return run.export(tmp_path_factory.mktemp("exported") / "model")


@pytest.fixture
def copied(model, tmp_path):
    return shutil.copytree(model.folder, tmp_path / "copied")


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def rewrite(folder, **changes):
    """A manifest with other content, as whole as one can make it."""
    manifest = manifest_of(folder) | changes
    manifest["digest"] = exported.manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_it_predicts_what_the_run_predicts_bit_for_bit(run, model):
    loaded = fsrf_jax.load(model.folder)
    assert type(model) is type(loaded) is fsrf_jax.Model
    assert repr(loaded) == f"Model({str(model.folder)!r}, method='fsrf')"
    features, lengths = raw_samples(run.network, 5, 4)
    expected = run.predict(lengths, codes=True, **features)
    found = loaded.predict(lengths, codes=True, **features)
    assert np.std(expected.values) > 0
    np.testing.assert_equal(found._asdict() | {"codes": None}, expected._asdict() | {"codes": None})
    for field in ("available", "pooled", "homogeneous", "heterogeneous", "noise", "fused"):
        np.testing.assert_array_equal(getattr(found.codes, field), getattr(expected.codes, field))
    for name in ("results", "history"):
        assert not hasattr(loaded, name)


def test_an_export_of_an_export_has_the_same_bytes(model, tmp_path):
    again = fsrf_jax.load(model.folder).export(tmp_path / "again")
    assert sorted(path.name for path in again.folder.iterdir()) == FILES
    manifests = [manifest_of(folder) for folder in (model.folder, again.folder)]
    assert len(manifests[0].pop("exported_with").pop("date")) == len("2025-01-31")
    manifests[1].pop("exported_with")
    assert manifests[0] == manifests[1]
    for name in FILES:
        if name != "manifest.json":
            assert (again.folder / name).read_bytes() == (model.folder / name).read_bytes()


def test_the_weights_have_documented_names(run, model):
    found = safetensors.numpy.load((model.folder / "weights.safetensors").read_bytes())
    network = run.network
    mean = network.normaliser.mean["audio"]
    parts = [found[f"normaliser.{name}.audio"] for name in ("mean", "mean_rest")]
    np.testing.assert_array_equal(parts[0].astype(np.float64) + parts[1], mean)
    np.testing.assert_array_equal(
        found["normaliser.scale.audio"], network.normaliser.scale["audio"]
    )
    assert found["normaliser.clip"] == network.normaliser.clip
    kernel = network.parameters["encoders"]["audio"]["frames"]["kernel"]
    np.testing.assert_array_equal(found["parameters.encoders.audio.frames.kernel"], kernel)
    assert {name.partition(".")[0] for name in found} == {"parameters", "normaliser"}


def test_the_manifest_says_what_it_is(run, model):
    found = manifest_of(model.folder)
    assert (found["format"], found["method"], found["clip"]) == (1, "fsrf", 10.0)
    environment = json.loads((run.folder / "environment.json").read_text("utf-8"))
    assert found["data_fingerprint"] == environment["data_fingerprint"]
    assert found["package"] == environment["versions"]["fsrf-jax"]
    assert found["versions"]["jax"] == found["exported_with"]["jax"]
    assert found["modalities"]["audio"] == {"features": 16}
    audio = found["inputs"]["features"]["audio"]
    assert (audio["shape"], audio["dtype"]) == (["b", "t_audio", 16], "float32")
    assert found["inputs"]["lengths"]["audio"]["shape"] == ["b"]
    assert found["outputs"]["values"]["shape"] == ["b"]
    assert found["shapes"] == json.loads(json.dumps(dataclasses.asdict(run.network.shapes)))
    assert set(found["files"]) == set(FILES) - {"manifest.json"}


@pytest.mark.parametrize(
    ("overrides", "outputs", "names", "what"),
    [
        ({"task.kind": "gaussian", "data.label_shift": -3.0}, 1, None, "which were shifted by -3"),
        ({"task.kind": "cross_entropy"}, 3, ["0", "1", "2"], "probabilities of the classes"),
        (
            {"task.kind": "binary_cross_entropy", "data.tasks": ["happy", "sad"]},
            2,
            ["happy", "sad"],
            "probability that each task's label is 1",
        ),
        ({"task.kind": "binary_cross_entropy"}, 2, ["task0", "task1"], "probability that each"),
    ],
)
def test_the_manifest_says_what_the_outputs_are(overrides, outputs, names, what, tmp_path):
    network = network_of({"method.name": "late_fusion"} | overrides, outputs, {"audio": 9})
    export.write_export(network, tmp_path / "model", None)
    found = manifest_of(tmp_path / "model")
    assert found["data_fingerprint"] is None
    assert found["modalities"]["audio"] == {"vocabulary": 9}
    assert found["inputs"]["features"]["audio"]["what"] == "token ids below 9; 0 is padding"
    values = found["outputs"]["values"]
    assert what in values["what"]
    assert values.get("names") == names
    assert values["shape"] == (["b", outputs] if names else ["b"])
    assert ("std" in found["outputs"]) == (overrides["task.kind"] == "gaussian")
    features, lengths = raw_samples(network, 4, 3)
    expected = network.predict(features, lengths)
    again = fsrf_jax.load(tmp_path / "model").predict(lengths, **features)
    np.testing.assert_array_equal(again.values, expected.values)


def test_no_path_of_the_machine_is_in_the_config():
    config = arguments.load(
        {"data.source": "file", "data.path": "/home/me/mosi.h5", "output.directory": "/home/me/run"}
        | {"evaluation.protocol": "/home/me/noisy.yaml"}
    )
    config = dataclasses.replace(config, method=Corrkd(teacher="/home/me/teacher"))
    found = export.without_paths(config)
    assert (found.data.path, found.evaluation.protocol) == ("mosi.h5", "noisy.yaml")
    assert (found.output.directory, found.method.teacher) == (None, "teacher")
    assert "home" not in arguments.to_yaml(found)
    kept = export.without_paths(arguments.load({}))
    assert (kept.data.path, kept.evaluation.protocol) == (None, "corrkd")


def test_nothing_is_left_of_an_export_that_fails(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "manifest_digest", lambda manifest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_written_to(run, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(RunError, match="model: exists already; remove it, or choose another"):
        run.export(tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
    with pytest.raises(RunError, match="there is no folder to make it in"):
        run.export(tmp_path / "nowhere" / "model")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_is_damaged_is_named(copied):
    for name in ("config.yaml", "weights.safetensors"):
        flip(copied / name)
        with pytest.raises(RunError, match=f"{name}: is damaged, it does not have the digest"):
            fsrf_jax.load(copied)
        flip(copied / name)
    fsrf_jax.load(copied)
    manifest = copied / "manifest.json"
    whole = manifest.read_text("utf-8")
    for text, message in (
        (whole.replace('"clip": 10.0', '"clip": 11.0'), "is damaged, it does not have the digest"),
        (whole[:-9], "is not JSON"),
        ("[]", "found no format, expected the manifest of an export"),
    ):
        manifest.write_text(text, "utf-8")
        with pytest.raises(RunError, match=f"manifest.json: {message}"):
            fsrf_jax.load(copied)


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml", "weights.safetensors"])
def test_what_is_missing_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(RunError, match=f"found no {name}, which an export has: copy the whole"):
        fsrf_jax.load(copied)


def test_what_is_for_others_need_not_be_there(run, copied):
    (copied / "example.py").unlink()
    (copied / "model.stablehlo").unlink()
    x = np.ones((3, 32))
    found = fsrf_jax.load(copied).predict(language=x)
    assert found.values == run.predict(language=x).values


def test_versions_that_cannot_be_read(copied):
    rewrite(copied, package="99.1.0")
    with pytest.raises(RunError, match=r"was made by fsrf-jax 99\.1\.0, this is .*: install that"):
        fsrf_jax.load(copied)
    rewrite(copied, format=2)
    expected = r"found format 2, expected 1: it was made by fsrf-jax 99\.1\.0, this is"
    with pytest.raises(RunError, match=expected):
        fsrf_jax.load(copied)
    rewrite(copied, format=1, package="0.0.9")
    assert fsrf_jax.load(copied).config.method.name == "fsrf"


def test_weights_of_another_network(copied):
    path = copied / "weights.safetensors"
    whole = safetensors.numpy.load(path.read_bytes())
    kernel = "parameters.encoders.audio.frames.kernel"
    shape = r"float32\[3,16,8\]"
    for changes, message in (
        ({kernel: whole[kernel][:, :9]}, rf"{kernel} to be {shape}, found float32\[3,9,8\]"),
        ({kernel: whole[kernel].astype(np.float16)}, f"{kernel} to be {shape}, found float16"),
        ({"more": np.ones(1, np.float32)}, r"more to be absent, found float32\[1\]"),
    ):
        path.write_bytes(safetensors.numpy.save(whole | changes))
        files = manifest_of(copied)["files"] | {path.name: exported.file_digest(path)}
        rewrite(copied, files=files)
        with pytest.raises(RunError, match=message):
            fsrf_jax.load(copied).predict(language=np.ones((3, 32)))


@pytest.mark.parametrize("shapes", [None, {}, {"frames": 3}, {"features": {"audio": "x"}}])
def test_a_manifest_without_the_shapes_of_a_network(copied, shapes):
    whole = manifest_of(copied)["shapes"]
    rewrite(copied, shapes=whole | shapes if shapes else shapes)
    with pytest.raises(RunError, match=r"cannot be read as a manifest with the shapes of a"):
        fsrf_jax.load(copied).predict(language=np.ones((3, 32)))
    rewrite(copied, files=None)
    with pytest.raises(RunError, match=r"config\.yaml: is damaged"):
        fsrf_jax.load(copied)


def test_an_export_is_no_run(run, model):
    message = "is an export, which has no data and no results, expected a run folder"
    for given in (model, model.folder):
        with pytest.raises(RunError, match=message):
            fsrf_jax.evaluate(given)
    with pytest.raises(RunError, match="is an export, which has no data: leave data_path out"):
        fsrf_jax.load(model.folder, data_path="x.h5")


def test_two_arrays_never_have_one_name():
    network = network_of({"method.name": "late_fusion"})
    clash = {"a": {"b.c": np.ones(1)}, "a.b": {"c": np.ones(1)}}
    with pytest.raises(ValueError, match="two arrays have the same dotted name"):
        exported.named_tensors(clash, network.normaliser)
