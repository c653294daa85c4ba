"""The table for a paper: its columns, its figures, and its LaTeX."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_case import labels_with, method_of

from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.paper_table import columns_of, latex_escaped, latex_table, paper_table

LABELS = labels_with(12, 9, 3)
HEADS = ["{l}", "{a}", "{v}", "{l,a}", "{l,v}", "{a,v}", "Avg", "{l,a,v}"]


@pytest.fixture(scope="module")
def methods():
    return [method_of(LABELS, "ours_1", seeds=(0, 1, 2)), method_of(LABELS, "100 %", seeds=(5,))]


def test_columns_of_corrkd(methods):
    columns = columns_of(methods[0].first.results)
    assert list(columns) == HEADS
    assert columns["{l,v}"] == "language+vision"
    assert columns["{l,a,v}"] == "language+audio+vision"


def test_columns_of_other_modalities():
    method = method_of(LABELS, modalities=("language", "text"))
    assert list(columns_of(method.first.results)) == ["{l}", "{text}", "Avg", "{l,text}"]


@pytest.mark.parametrize(
    ("protocol", "last"), [("lnln", "Avg"), ("tfrnet", "Avg"), ("gcnet", None), ("cmad", "Avg")]
)
def test_columns_of_other_protocols(protocol, last):
    results = method_of(LABELS, protocol=protocol).first.results
    names = [entry["name"] for entry in results["conditions"]]
    assert list(columns_of(results)) == [*names, *([last] if last else [])]


def test_figures_are_means_and_deviations_over_the_seeds(methods):
    table = paper_table(methods)
    assert list(table.header) == ["method", *HEADS]
    name, *cells = table.rows[0]
    assert name == "ours_1"
    averages = [run.results["average"]["metrics"]["f1_non0"] for run in methods[0].runs]
    mean, std = 100 * np.mean(averages), 100 * np.std(averages, ddof=1)
    assert cells[HEADS.index("Avg")] == f"{mean:.1f} ± {std:.1f}"
    assert "±" not in "".join(table.rows[1])
    # Without language the model of these tests is a constant.
    assert cells[HEADS.index("{a}")].endswith(" *")
    assert "*" not in cells[0]
    floor = 100 * methods[0].first.results["conditions"][0]["floor"]["f1_non0"]
    assert table.rows[-2] == ["best constant", *[f"{floor:.1f}"] * 8]
    name, *missing = table.rows[-1]
    assert (name, missing[-1]) == ("missing", "0.0 / 0.0")
    assert missing[0].endswith(" / 66.7")


def test_the_latex_table_has_its_columns(methods):
    lines = latex_table(paper_table(methods)).splitlines()
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 5
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {8}
    assert r"\begin{tabular}{lrrrrrrrr}" in lines
    assert rows[0].startswith(r"method & \{l\} & \{a\}")
    assert rows[1].startswith(r"ours\_1 & ")
    assert rows[2].startswith(r"100 \% & ")
    assert r"$\pm$" in rows[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a & b_c", r"a \& b\_c"),
        ("50 % #1 $x$", r"50 \% \#1 \$x\$"),
        ("{l,a}", r"\{l,a\}"),
        ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("1.0 ± 0.2", r"1.0 $\pm$ 0.2"),
        ("[x]", "{}[x]"),
        ("*", "{}*"),
    ],
)
def test_special_characters_are_escaped(text, expected):
    assert latex_escaped(text) == expected


@given(st.text(alphabet="ab&%$#_{}", max_size=12))
def test_escaping_can_be_undone(text):
    assert re.sub(r"\\(.)", r"\1", latex_escaped(text)) == text


def test_notes_are_comments():
    text = latex_table(Table("c", ["m", "x"], [["a", "1"]], ["50 % of _all_"]))
    assert text.endswith("\\end{table}\n% 50 % of _all_\n")
