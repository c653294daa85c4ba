"""What the documentation says is what the code gives."""

import dataclasses
import importlib.util
import re

import pytest
from command_case import ROOT

from fsrf_jax import packaged
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.losses import DEPENDENCE, DIVERGENCES
from fsrf_jax.losses.task import ERRORS
from fsrf_jax.methods import Fsrf

PAGE = (ROOT / "docs" / "losses.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
KINDS = {"config": "", "ablation": "ablations", "search": "searches", "evaluation.protocol": ""}


def numbers(line):
    return [float(cell) for cell in line.strip("|").split("|")[1:]]


def test_the_tables_of_the_losses_are_measured(capsys):
    spec = importlib.util.spec_from_file_location("losses_tables", ROOT / "docs" / "losses.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    written = PAGE.splitlines()
    assert len(printed) > 20
    for line in printed:
        if re.match(r"\|[^|]+\|[-\d]", line) and "---" not in line:
            name = line.split("|")[1]
            same = [other for other in written if other.startswith(f"|{name}|")]
            # The last digit may differ on another machine.
            close = [other for other in same if almost(numbers(other), numbers(line))]
            assert close, line
        else:
            assert line in written


def almost(found, expected):
    pairs = zip(found, expected, strict=False)
    return len(found) == len(expected) and all(abs(a - b) <= 0.11 * abs(b) for a, b in pairs)


def test_every_form_of_every_term_has_its_row():
    for name in (*DEPENDENCE, *DIVERGENCES, *ERRORS):
        assert re.search(rf"^\| `{name}` \|", PAGE, re.M), name
    options = dataclasses.asdict(Fsrf())
    for section in ("heterogeneous", "noise"):
        assert f"`method.{section}.kind`" in PAGE
        assert f"| `{options[section]['kind']}` |" in PAGE
    for kind in ("task_alone", "modality", "contrastive", "bottleneck", "dependence", "uniform"):
        assert f"| `{kind}` |" in PAGE
    for choice in ("crossed: true", "held: homogeneous", "held: none"):
        assert f"| `{choice}` |" in PAGE
    for choice in ("target: view", "target: complete", "weigh_teacher: true"):
        assert f"| `{choice}` |" in PAGE
    for choice in ("direction: both", "direction: to_less_complete", "direction: off"):
        assert f"| `{choice}` |" in PAGE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_configs_that_are_named_exist(page):
    text = page.read_text("utf-8")
    for name in re.findall(r"(?<![/\w])(?:bin/|fsrf-)([a-z]+)\b(?![-/])", text):
        assert (ROOT / "bin" / name).is_file() or name == "jax", name
    for path in re.findall(r"\bconfigs/[a-z_/]+\.yaml", text):
        assert (ROOT / path).is_file(), path
    options = "|".join(re.escape(name) for name in KINDS)
    for option, name in re.findall(rf"--({options}) ([a-z_/]+)(?=[\s`,;:)]|$)", text):
        packed = [*packaged.names(), *packaged.names(KINDS[option])]
        own = option == "evaluation.protocol" and name in (*PROTOCOLS, "protocols/own/fading")
        assert name in packed or own, f"--{option} {name}"
