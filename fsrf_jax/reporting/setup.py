"""The chapters on what was run: settings against their defaults, and the environment."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from fsrf_jax.config import defaults, flatten
from fsrf_jax.reporting.captions import SELECTIONS
from fsrf_jax.reporting.document import Block, Code, Folded, Paragraph, Section, Table
from fsrf_jax.reporting.material import Material, RunGroup
from fsrf_jax.reporting.numbers import number

NO_SETTINGS = ("output.", "training.seed")  # where it goes, and what the runs are told apart by


def settings_section(methods: Sequence[RunGroup]) -> Section:
    """What differs from the defaults, then the whole config of every method, folded."""
    known = [(m, m.first.config) for m in methods if m.first.config is not None]
    if not known:
        text = "The results are not of a run of this program: nothing is known of their settings."
        return Section("Settings", [Paragraph(text)])
    leaves = {method.name: flatten(config) for method, config in known}
    default_of: dict[str, Any] = {}
    for _, config in known:
        default_of |= defaults(config)
    changed = [
        key
        for key, default in default_of.items()
        if not key.startswith(NO_SETTINGS)
        and any(found.get(key, default) != default for found in leaves.values())
    ]
    body = [
        [key, _text(default_of[key])]
        + [_text(found[key]) if key in found else "-" for found in leaves.values()]
        for key in changed
    ]
    blocks: list[Block] = []
    if body:
        header = ["key", "default", *leaves]
        blocks.append(Table("Settings that differ from the defaults", header, body))
    else:
        blocks.append(Paragraph("Every setting has its default."))
    for name, found in leaves.items():
        lines = "\n".join(f"{key}: {_text(value)}" for key, value in found.items())
        blocks.append(Folded(f"Whole config of {name}", [Code(lines)]))
    return Section("Settings", blocks)


def runs_section(methods: Sequence[RunGroup]) -> Section:
    """Every run: seed, epochs, selection; versions, devices and commands, each once."""
    body = [
        [
            method.name if len(method.runs) == 1 else f"{method.name}, {run.name}",
            _plain(run.seed),
            _plain(run.results.get("epochs_trained")),
            _plain(run.results.get("best_epoch")),
            number(run.results.get("validation_error")),
            SELECTIONS.get(run.results.get("selection", ""), "-"),
            str(run.results["data_fingerprint"]),
        ]
        for method in methods
        for run in method.runs
    ]
    header = ["run", "training seed", "epochs", "selected", "validation error", "under", "data"]
    note = "selected: the epoch with the lowest validation error, whose network is evaluated."
    blocks: list[Block] = [Table("Runs", header, body, [note])]
    runs = [run for method in methods for run in method.runs]
    machines = list(dict.fromkeys(_machine(run) for run in runs if run.environment))
    commands = list(dict.fromkeys(_command(run) for run in runs if run.environment))
    blocks += [Code(text) for text in machines]
    if commands:
        blocks.append(Folded("Commands", [Code("\n".join(commands))]))
    if any(run.environment is None for run in runs):
        blocks.append(Paragraph("Of some results no environment is recorded."))
    return Section("Runs and environment", blocks)


def _machine(run: Material) -> str:
    """Versions and devices that a run was trained with."""
    environment = run.environment or {}
    versions = {"python": environment.get("python"), **environment.get("versions", {})}
    devices = environment.get("devices", [])
    counts = [f"{devices.count(kind)} x {kind}" for kind in dict.fromkeys(devices)]
    lines = [f"{name} {version}" for name, version in versions.items()]
    commit = environment.get("commit") or "unknown"
    return "\n".join([*lines, f"commit: {commit}", f"devices: {', '.join(counts)}"])


def _command(run: Material) -> str:
    command = (run.environment or {}).get("command", [])
    return shlex.join(str(part) for part in command)


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
