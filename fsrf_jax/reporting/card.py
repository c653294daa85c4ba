"""The model card of one run, `card.md`: made from results.json alone, no other file is opened."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from fsrf_jax.evaluation.protocols.files import is_file
from fsrf_jax.evaluation.results import Program, Results, RunRecord, SplitRecord
from fsrf_jax.reporting.captions import SELECTIONS
from fsrf_jax.reporting.card_scores import beside_floors, score_tables
from fsrf_jax.reporting.card_words import (
    LAW,
    RULES,
    USE,
    USE_SYNTHETIC,
    limits,
    missingness,
)
from fsrf_jax.reporting.document import (
    Block,
    Code,
    Document,
    Folded,
    Items,
    Paragraph,
    Section,
    Table,
)
from fsrf_jax.reporting.numbers import number


def card_document(results: Results) -> Document:
    """The model card of results that have a network, see `RunRecord`.

    Raises:
        KeyError: they are of a floor or of another program.
    """
    run = results["run"]
    words = USE_SYNTHETIC if run["config"]["data"]["source"] == "synthetic" else USE
    return Document(
        title=f"Model card: {_method(run)} on {_data_name(run)}",
        lead=[
            Paragraph(
                "What this network is, what was measured of it, and what it must not be used for. "
                "Every figure is from results.json."
            )
        ],
        sections=[
            Section("Model", [Items(_model(results, run))]),
            Section("Data", _data(results, run)),
            Section("Training missingness", [Items(missingness(run))]),
            Section("Evaluation", [Items(_evaluation(results))]),
            Section("Scores", score_tables(results)),
            Section("Limits", [Items([*beside_floors(results), *limits(results, run)])]),
            Section("Intended use", [Items(words.intended)]),
            Section("Not intended", [Items(words.not_intended)]),
            Section("Personal data", [Paragraph(words.personal), Items(RULES), Paragraph(LAW)]),
            Section("How to repeat it", _repeat(results, run)),
        ],
    )


def _method(run: RunRecord) -> str:
    return run["config"]["method"]["name"]


def _data_name(run: RunRecord) -> str:
    data = run["config"]["data"]
    return "built-in data" if data["source"] == "synthetic" else data["path"]


def _elsewhere(results: Results, run: RunRecord) -> bool:
    """Whether it was evaluated on other data than it was trained on."""
    return run["trained_on"]["fingerprint"] not in (None, results["data_fingerprint"])


def _model(results: Results, run: RunRecord) -> list[str]:
    """Method, inputs, outputs, and which epoch's network it is."""
    widths = [
        f"{name} ({run['tokens'][name]} token ids)"
        if name in run["tokens"]
        else f"{name} ({run['features'][name]} features a frame)"
        for name in run["config"]["data"]["modalities"]
    ]
    return [
        f"Method: {_method(run)}, as docs/methods.md of fsrf_jax describes it.",
        f"Reads: {', '.join(widths)}. Any part of them may be missing.",
        f"Predicts: {_predicts(results, run)}",
        _selection(results, run),
    ]


def _predicts(results: Results, run: RunRecord) -> str:
    data, kind = run["config"]["data"], run["config"]["task"]["kind"]
    if results["form"] == "number":
        what = "one number and its standard deviation" if kind == "gaussian" else "one number"
        shift = f"the data's plus {data['label_shift']:g} (data.label_shift)"
        scale = shift if data["label_shift"] else "as the data have them (data.label_shift 0)"
        known = "train" in run["splits"] and not _elsewhere(results, run)
        ends = run["splits"]["train"]["labels"] if known else None
        span = f"; in training from {ends[0]:.4g} to {ends[1]:.4g}" if ends else ""
        return f"{what} on the scale of the labels, {scale}{span}."
    points = ", ".join(f"{cut:g}" for cut in data["cuts"])
    cuts = f" They are made of numbers, cut at {points}." if points else ""
    names = ", ".join(_answers(results))
    count = len(_answers(results))
    if results["form"] == "class":
        return f"the probability of each of {count} classes: {names}.{cuts}"
    return f"the probability of yes in each of {count} binary tasks: {names}.{cuts}"


def _answers(results: Results) -> list[str]:
    """Names of the classes or binary tasks."""
    return [found["name"] for found in results["conditions"][0]["classes"]]


def _selection(results: Results, run: RunRecord) -> str:
    training = run["config"]["training"]
    best, done, asked = results["best_epoch"], results["epochs_trained"], training["epochs"]
    error = "mean absolute error" if results["form"] == "number" else "cross-entropy"
    unfinished = "" if done == asked else f" ({asked} were asked for)"
    return (
        f"Checkpoint: that of epoch {best} of {done}{unfinished}, which has the lowest validation "
        f"error ({SELECTIONS[results['selection']]}): {number(results['validation_error'])}, the "
        f"{error} on the split valid with fixed masks."
    )


def _data(results: Results, run: RunRecord) -> list[Block]:
    """Where the samples are from, and how many there are."""
    data, trained = run["config"]["data"], run["trained_on"]
    if data["source"] == "synthetic":
        source = "Source: built-in (data.source synthetic), random numbers that a program draws."
    else:
        source = f"Source: {data['path']} (data.source file)."
    stated = f", as the user states it: {data['licence']}" if data["licence"] else ": not stated"
    facts = [
        source,
        f"Licence of the data{stated}.",
        f"Fingerprint: {results['data_fingerprint']}.",
    ]
    if _elsewhere(results, run):
        facts.append(f"Trained on other data, with the fingerprint {trained['fingerprint']}.")
    facts.append(f"Samples trained on: {trained['samples']}.")
    if "fold" in results:
        fold = results["fold"]
        facts.append(f"Fold {fold['number']} (from 0) of {fold['of']}: the folds make the splits.")
    heads = {"number": "labels", "class": "labels by class", "binary": "labels that are yes"}
    body = [
        [name, str(split["samples"]), _plain(split["groups"]), _labels(results, split)]
        for name, split in run["splits"].items()
    ]
    header = ["split", "samples", "groups", heads[results["form"]]]
    notes = ["groups: speakers, videos or persons, as the data name them; -: not known."]
    notes += ["labels: the lowest and the highest."] if results["form"] == "number" else []
    return [Items(facts), Table("", header, body, notes)]


def _labels(results: Results, split: SplitRecord) -> str:
    """The range of numbers, or how many labels are of each class, or yes in each task."""
    if results["form"] == "number":
        lowest, highest = split["labels"]
        return f"{lowest:.4g} .. {highest:.4g}"
    names, counts = _answers(results), split["counts"]
    found = counts[0] if results["form"] == "class" else [yes for _, yes in counts]
    return ", ".join(f"{name} {count}" for name, count in zip(names, found, strict=True))


def _evaluation(results: Results) -> list[str]:
    unit = "samples" if results["unit"] == "sample" else "groups of samples"
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    return [
        f"Protocol {results['protocol']}, split {results['split']}: {results['n']} samples, "
        f"{len(results['conditions'])} conditions.",
        f"Masks: {results['mask_law']}.",
        f"Means over the mask seeds {seeds}. Digest of the masks: {results['masks_digest']}.",
        f"Intervals: bootstrap over {unit}, {results['resamples']} resamples."
        if results["resamples"]
        else "Intervals: none were computed.",
    ]


def _repeat(results: Results, run: RunRecord) -> list[Block]:
    """Program, seeds, settings and commands."""
    config, trained, evaluated = run["config"], run["trained_by"], run["evaluated_by"]
    facts = [f"Trained by {_program(trained)}."]
    if evaluated != trained:
        facts.append(f"Evaluated by {_program(evaluated)}.")
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    facts.append(f"Training seed {results['training_seed']}; mask seeds {seeds}.")
    facts.append(
        "Save the whole configuration as recipe.yaml; the commands then give these figures, on "
        "another kind of device up to rounding, and the same digest of the masks."
    )
    if _elsewhere(results, run):
        facts.append(
            "The configuration names the data of the evaluation: in their place give those that it "
            f"was trained on, with the fingerprint {run['trained_on']['fingerprint']}."
        )
    train = f"bin/train --config recipe.yaml{_places(config)} --output.directory RUN"
    changed = [f"{key}: {_text(_value(config, key))}" for key in run["changed"]]
    settings: list[Block] = [Paragraph("Every setting has its default.")]
    if changed:
        settings = [Paragraph("Settings that differ from the defaults:"), Code("\n".join(changed))]
    whole = yaml.safe_dump(config, sort_keys=False).strip()
    return [
        Items(facts),
        Code(f"{train}\nbin/report RUN"),
        *settings,
        Folded("The whole configuration", [Code(whole)]),
    ]


def _places(config: Mapping[str, Any]) -> str:
    """Options for what the configuration has the names of, but not where it lies."""
    found = ""
    if config["data"]["path"] is not None:
        found += " --data.path DATA"
    if config["method"].get("teacher") is not None:
        found += " --method.teacher RUN_OF_THE_TEACHER"
    if is_file(config["evaluation"]["protocol"]):
        found += " --evaluation.protocol PROTOCOL.yaml"
    return found


def _program(program: Program | None) -> str:
    if program is None:
        return "a program that nobody wrote down"
    commit, versions = program["commit"], program["versions"]
    changed = commit is not None and commit.endswith("-changed")
    named = "unknown (no git checkout)" if commit is None else commit.removesuffix("-changed")
    also = ", with changes that are not committed" if changed else ""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"commit {named}{also}; python {program['python']}, {listed}"


def _value(config: Mapping[str, Any], key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = found[part]
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)
