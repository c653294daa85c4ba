"""Protocols from the command line: every one of them, own ones, masks as files, other programs."""

import json
import re
import shutil
import sys
import time
from unittest import mock

import numpy as np
import pytest
from command_case import ROOT, TINY, call, read_arrays, read_json, refused

from fsrf_jax import arguments
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS

OWN = ROOT / "configs" / "protocols" / "own" / "fading.yaml"
PAGE = (ROOT / "docs" / "protocols.md").read_text("utf-8")


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "run")


@pytest.fixture
def config(trained, tmp_path):
    """The config of the run as a file of its own."""
    return shutil.copy(trained.folder / "config.yaml", tmp_path / "tiny.yaml")


def succeed(*argv):
    done = call(*argv)
    assert (done.status, done.err) == (0, "")
    return done


@pytest.mark.parametrize("name", [*(name for name in PROTOCOLS if name != "corrkd"), str(OWN)])
def test_a_run_is_evaluated_under_every_protocol_on_masks_that_anybody_can_have(
    copied, config, tmp_path, name
):
    given = ("--evaluation.protocol", name, "--evaluation.mask_seeds", "[4,2]")
    succeed("evaluate", copied, *given, "--output", tmp_path / "drawn.json")
    results = read_json(tmp_path / "drawn.json")
    assert results["protocol"] == (name if name in PROTOCOLS else "fading")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "drawn.md").read_text()
    assert all(f"\n|{entry['name']}" in rows for entry in results["conditions"])
    assert ("\n|**average**" in rows) == (name in ("lnln", "cmad"))
    assert ("\n|**area**" in rows) == (name in ("tfrnet", str(OWN)))

    done = succeed("masks", tmp_path / "masks.npz", "--config", config, *given)
    assert f"Digest: {results['masks_digest']}" in done.out
    from_file = ("--masks", tmp_path / "masks.npz", "--output", tmp_path / "read.json")
    succeed("evaluate", copied, *from_file)
    assert (tmp_path / "read.json").read_bytes() == (tmp_path / "drawn.json").read_bytes()
    pair = [read_arrays(tmp_path / f"{stem}.predictions.npz") for stem in ("drawn", "read")]
    np.testing.assert_equal(*pair)

    # Its own predictions, scored as those of another program: the same figures.
    scored = ("--predictions", tmp_path / "drawn.predictions.npz", "--config", config, *given)
    succeed("evaluate", *scored, "--output", tmp_path / "scored.json")
    again = read_json(tmp_path / "scored.json")
    for key in ("conditions", "average", "masks_digest", "protocol_description", "n"):
        assert again[key] == results[key]
    assert again["training_seed"] is None
    assert again["predictions"]["file"] == "drawn.predictions.npz"


def test_results_and_masks_are_the_same_bytes_at_any_time(copied, config, tmp_path, monkeypatch):
    given = ("--evaluation.protocol", "gcnet")
    for stem in ("one", "two"):
        succeed("evaluate", copied, *given, "--output", tmp_path / f"{stem}.json")
        succeed("masks", tmp_path / f"{stem}.npz", "--config", config, *given)
        monkeypatch.setattr(time, "time", lambda: 2e9)
    for suffix in ("json", "npz", "md", "predictions.npz"):
        one, two = (tmp_path / f"{stem}.{suffix}" for stem in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_run_outlives_the_file_of_its_protocol(copied, tmp_path):
    path = shutil.copy(OWN, tmp_path / "own.yaml")
    saved = copied / "config.yaml"
    _, text = saved.read_text().split("\n", 1)  # without its digest, as by hand
    saved.write_text(text.replace("protocol: corrkd", f"protocol: {path}"))
    (copied / "results.json").unlink()
    succeed("evaluate", copied)
    before = (copied / "results.json").read_bytes()
    assert read_json(copied / "results.json")["protocol"] == "fading"
    path.unlink()
    succeed("evaluate", copied)
    assert (copied / "results.json").read_bytes() == before
    assert arguments.load(saved).evaluation.protocol == str(path)
    (copied / "results.json").unlink()
    refused(call("evaluate", copied), 2, f"evaluation.protocol: found no file {path}")


def test_a_config_of_a_protocol_on_top_of_another_trains_and_is_shown_again(trained, tmp_path):
    folder = tmp_path / "run"
    files = [ROOT / "configs" / name for name in ("demo.yaml", "protocols/corrkd.yaml")]
    argv = [*(part for file in files for part in ("--config", file)), *TINY]
    argv += ["--method.complete_view", "false", "--output.directory", folder]
    succeed("train", *argv)
    found, other = (read_json(f / "results.json") for f in (folder, trained.folder))
    assert found == other
    before = (folder / "results.json").stat().st_mtime_ns
    assert "Protocol corrkd" in succeed("train", *argv).out
    assert (folder / "results.json").stat().st_mtime_ns == before
    without = [*argv[:2], *argv[4:], "--missing.modality_rate", "0.0"]
    refused(call("train", *without), 2, "missing.modality_rate: None there, 0.0 here")


def test_mistaken_protocols_are_refused_before_anything_happens(copied, config, tmp_path):
    out = ("--output.directory", tmp_path / "out")
    given = ("--evaluation.protocol", "lnnl")
    ablation = ("--ablation", ROOT / "configs" / "ablations" / "terms.yaml")
    for argv in (
        ("train", *TINY, *given, *out),
        ("ablate", *TINY, *given, *out, *ablation),
        ("masks", tmp_path / "m.npz", "--config", config, *given),
        ("evaluate", copied, *given, "--output", tmp_path / "x.json"),
    ):
        refused(call(*argv), 2, "evaluation.protocol: found 'lnnl'", "the nearest is lnln")
    refused(call("masks", tmp_path / "m.txt", "--config", config), 2, "expected FILE.npz in an")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "tiny.yaml"}


def test_mistaken_requests_are_refused(copied, config, tmp_path):
    predictions = tmp_path / "x.npz"
    shutil.copy(copied / "predictions.npz", predictions)
    masks = tmp_path / "masks.npz"
    succeed("masks", masks, "--config", config)
    with_config = ("evaluate", "--predictions", predictions, "--config", config)
    for argv, part in (
        (("evaluate",), "RUN: expected a run folder, or --predictions and --config"),
        (("evaluate", "--config", config), "--config: expected with --predictions FILE"),
        (("evaluate", "--predictions", predictions), "RUN: expected a run folder"),
        (("evaluate", copied, "--masks", masks), "--masks: the results would differ from those"),
        ((*with_config, "--output", tmp_path / "no" / "x.json"), "expected FILE.json in an exist"),
        ((*with_config, "--output"), "see evaluate --help"),
        (
            (*with_config, "--masks", masks, "--evaluation.mask_seeds", "[1]"),
            "--evaluation.mask_seeds: the file of --masks decides it",
        ),
        (
            ("evaluate", copied, "--predictions", predictions, "--output", copied / "results.json"),
            "results.json is of the run itself",
        ),
        ((*with_config, "--output", copied / "results.json"), "results.json is of the run itself"),
        (
            ("evaluate", copied, "--predictions", predictions, "--probes"),
            "predictions have no code",
        ),
        (
            (
                *("evaluate", "--config", config, "--output", copied / "results.json"),
                *("--predictions", copied / "predictions.npz"),
            ),
            "predictions.npz would be overwritten",
        ),
    ):
        refused(call(*argv), 2, part)


def test_predictions_on_other_masks_are_refused(copied, tmp_path):
    arrays = read_arrays(copied / "predictions.npz")
    path = tmp_path / "x.npz"
    np.savez(path, **{**arrays, "masks_digest": np.array("0" * 64)})
    refused(call("evaluate", copied, "--predictions", path), 1, "made on other masks")
    fewer = arrays["ids"][1:], arrays["predictions"][:, :, 1:]
    np.savez(path, **{**arrays, "ids": fewer[0], "predictions": fewer[1]})
    refused(call("evaluate", copied, "--predictions", path), 1, "ids: found nothing for 1 of 24")
    np.savez(path, **{**arrays, "predictions": np.tile(arrays["predictions"][..., None], 3)})
    refused(call("evaluate", copied, "--predictions", path), 1, "found 3 probabilities")
    assert not (tmp_path / "x.json").exists()


def test_masks_of_other_data_are_refused(copied, config, tmp_path):
    masks = tmp_path / "masks.npz"
    succeed("masks", masks, "--config", config, "--data.synthetic.test", "23")
    output = ("--output", tmp_path / "x.json")
    refused(call("evaluate", copied, "--masks", masks, *output), 1, "ids: found 23 samples")


def test_the_example_of_another_program(config, tmp_path, monkeypatch):
    """The commands and the program of docs/protocols.md, on less data."""
    section = PAGE.partition("### Testing another program")[2].partition("## Selection")[0]
    section = section.replace("configs/demo.yaml", str(config))
    (program,) = re.findall(r"```python\n(.*?)```", section, re.S)
    first, second, third = re.search(
        r"^    (bin/masks .*)\n    (python3 ridge\.py)\n    (bin/evaluate .*)$", section, re.M
    ).groups()
    assert second == "python3 ridge.py"
    monkeypatch.chdir(tmp_path)
    succeed("masks", *first.split()[1:])
    with mock.patch.object(sys, "argv", ["ridge.py"]):
        exec(compile(program, "ridge.py", "exec"), {"__name__": "__main__"})
    assert "predictions of another program" in " ".join(
        succeed("evaluate", *third.split()[1:]).out.split()
    )
    names = ("ridge.json", "ridge.md", "ridge.png", "ridge.predictions.npz")
    assert all((tmp_path / name).exists() and f"`{name}`" in section for name in names)
    npz = read_json(tmp_path / "ridge.json")
    assert npz["masks_digest"] == str(read_arrays(tmp_path / "masks.npz")["masks_digest"])
    assert npz["average"]["bayes"]["mae"] < npz["average"]["metrics"]["mae"]

    # The same as a table, on the masks of the file.
    arrays = read_arrays(tmp_path / "ridge.npz")
    lines = [f"# masks_digest={arrays['masks_digest']}", "id,condition,mask_seed,prediction"]
    for (c, s, n), value in np.ndenumerate(arrays["predictions"]):
        names = arrays["ids"][n], arrays["conditions"][c], arrays["mask_seeds"][s]
        lines.append(",".join(map(str, (*names, value))))
    (tmp_path / "ridge.csv").write_text("\n".join(lines))
    argv = ("--predictions", "ridge.csv", "--config", config, "--masks", "masks.npz")
    succeed("evaluate", *argv, "--output", "table.json")
    table = read_json(tmp_path / "table.json")
    assert table["conditions"] == npz["conditions"]
    assert table["average"] == npz["average"]


def test_every_protocol_and_every_key_of_a_mask_file_is_documented(config, tmp_path):
    for name in PROTOCOLS:
        assert f"| `{name}`" in PAGE
    succeed("masks", tmp_path / "masks.npz", "--config", config)
    for key in read_arrays(tmp_path / "masks.npz"):
        assert f"`{re.sub('_(language|audio|vision)$', '_NAME', key)}`" in PAGE
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1]
    (tmp_path / "mine.yaml").write_text(block)
    given = ("--evaluation.protocol", tmp_path / "mine.yaml")
    succeed("masks", tmp_path / "masks.npz", "--config", config, *given)
    assert json.loads(str(read_arrays(tmp_path / "masks.npz")["protocol"]))["name"] == "mine"
