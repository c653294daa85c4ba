"""Floors in the tables of results, of a report and for a paper, and on the terminal."""

import json

import pytest
from evaluation_case import SEEDS, make_split, observer, run
from report_case import evaluation_of, labels_with, material_of, method_of
from rich.console import Console

from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.floors import FLOORS, ONE, PER_CONDITION
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.reporting.captions import least_missing
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.floor_tables import floors_tables
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.paper_table import paper_table
from fsrf_jax.reporting.published import published_section
from fsrf_jax.reporting.results_tables import main_table, results_document, tables
from fsrf_jax.reporting.scores import certainty_section, score_section
from fsrf_jax.reporting.terminal import terminal_results

MOSI = labels_with(379, 277, 30)


def with_floors(with_oracle=True, form="number"):
    """Results whose floors are the model (ridge) and the oracle (the others)."""
    evaluation = run(with_oracle, form=form)
    split, oracle = make_split(form=form)
    best = evaluate(
        evaluation.protocol, split, oracle, SEEDS, observer(split), None, evaluation.family
    )
    floors = dict(zip(FLOORS, (best, evaluation, best), strict=True))
    return json.loads(json.dumps(summarise(evaluation, "test", 0, "abc", floors=floors)))


@pytest.fixture(scope="module")
def results():
    return with_floors()


def rows(table):
    return {name: dict(zip(table.header[1:], cells, strict=True)) for name, *cells in table.rows}


def test_the_headline_figure_has_a_column_for_both_ridges(results):
    table = main_table(results)
    assert table.header[-5:] == ["floor", "ridge", "ridge/cond.", "Bayes", "share"]
    for entry in (*results["conditions"][:2], results["conditions"][9]):
        cells = rows(table)[entry["name"]]
        for head, name in (("ridge", ONE), ("ridge/cond.", PER_CONDITION)):
            assert cells[head] == f"{100 * entry['floors'][name]['acc2_non0']:.1f}"
        assert cells["ridge"] == cells["Acc2"]
        assert cells["ridge/cond."] == cells["Bayes"]
    average = results["average"]["floors"][ONE]["acc2_non0"]
    assert rows(table)["average"]["ridge"] == f"{100 * average:.1f}"
    (note,) = (note for note in table.notes if note.startswith("floor: "))
    assert "ridge: one ridge on the mean observed frame" in note
    assert "ridge/cond.: the same, fitted anew under each condition" in note


@pytest.mark.parametrize(
    ("form", "with_oracle"),
    [*((form, False) for form in FAMILIES), *((f, True) for f in ("mosi", "class", "binary"))],
)
def test_the_terminal_has_them_in_80_columns(form, with_oracle):
    results = with_floors(with_oracle, form)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(terminal_results(results))
    lines = capture.get().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    header = next(line for line in lines if line.startswith("condition ")).split()
    heads = ["ridge", "/cond.", *(["Bayes"] if with_oracle else [])]
    assert header[-len(heads) :] == heads
    assert "…" not in capture.get()
    # What is the same in every row stands in a note.
    headline = FAMILIES[form].headline
    constant = 100 * results["conditions"][0]["floor"][headline.metric]
    text = " ".join(capture.get().split())
    assert "/cond.: the same, fitted anew" in text
    assert f"floor: {headline.title} of the best constant prediction, {constant:.1f}." in text


@pytest.mark.parametrize("form", ["number", "class", "binary"])
def test_a_table_has_every_figure_of_every_floor(form):
    results = with_floors(form=form)
    (table,) = floors_tables(results)
    family = FAMILIES["mosi" if form == "number" else form]
    assert len(table.header) == 1 + len(family.names)
    named = {"best constant": lambda row: row["floor"]}
    named |= {name: lambda row, name=name: row["floors"][name] for name in FLOORS}
    of_rows = {
        "language+audio+vision": results["conditions"][6],
        "average": results["average"],
        "all conditions": results["average"]["all_conditions"],
    }
    titles = {column.metric: column for column in family.columns}
    expected = {
        f"{row}: {floor}": {
            titles[name].title if name in titles else name: _shown(figure, titles.get(name))
            for name, figure in figures_of(entry).items()
            if name in family.names
        }
        for row, entry in of_rows.items()
        for floor, figures_of in named.items()
    }
    assert rows(table) == expected
    assert list(rows(table)) == list(expected)


def _shown(figure, column):
    if figure is None:
        return "-"
    return f"{100 * figure:.1f}" if column is None or column.percent else f"{figure:.3f}"


def test_the_table_stands_in_results_and_once_in_a_report(results):
    text = to_markdown(results_document(results))
    assert text.count("\n## Floors\n") == 1
    assert [table.caption for table in tables(results)][:2] == [
        tables(results)[0].caption,
        "Floors",
    ]
    runs = [material_of(evaluation_of(labels_with(9, 8, 2)), name) for name in ("a", "b")]
    for one in runs:
        floors = {"floors": results["conditions"][0]["floors"]}
        for row in (*one.results["conditions"], one.results["average"]):
            row |= floors
        one.results["average"]["all_conditions"] |= floors
    methods = [RunGroup(one.name, [one]) for one in runs]
    chapter = score_section(methods[:1], {})
    captions = [block.caption for block in chapter.blocks if isinstance(block, Table)]
    assert captions.count("Floors") == 1
    assert "Floors" not in [table.caption for table in certainty_section(methods[:1]).blocks]


def test_without_them_there_is_no_such_table_or_column():
    results = summarise(run(), "test", 0, "abc")
    assert floors_tables(results) == []
    assert "ridge" not in to_markdown(results_document(results))
    assert "floor" in main_table(results, brief=True).header


def test_the_condition_with_the_least_missing_is_the_complete_one():
    for protocol, name in (
        ("corrkd", "language+audio+vision"),
        ("lnln", "rate=0.0"),
        ("gcnet", "mr=0.0"),
        ("cmad", "language+audio+vision"),
    ):
        method = method_of(labels_with(9, 8, 2), protocol=protocol)
        assert least_missing(method.first.results) == name


def method_with_floors(**settings):
    evaluation = evaluation_of(MOSI, **settings)
    material = material_of(evaluation)
    floors = dict.fromkeys(FLOORS, evaluation)
    results = summarise(evaluation, "test", 0, "abc", floors=floors)
    material.results.update(results)
    return RunGroup("ours", [material])


def test_the_table_for_a_paper_has_a_row_for_each():
    method = method_with_floors()
    table = paper_table([method])
    assert [name for name, *_ in table.rows] == ["ours", "best constant", *FLOORS, "missing"]
    found = rows(table)
    for head in ("{l}", "Avg", "{l,a,v}"):
        assert found["ridge"][head] == found["ours"][head].removesuffix(" *")
    assert any(note.startswith("Floors, fitted to the training split") for note in table.notes)


def test_published_figures_have_them_beside_ours():
    for protocol in ("corrkd", "lnln"):
        (table,) = published_section([method_with_floors(protocol=protocol)]).blocks
        found = rows(table)
        for name in FLOORS:
            assert found[f"{name} (ours)"] == found["ours (ours)"]
    (table,) = published_section([method_with_floors(modalities=("language", "audio"))]).blocks
    assert rows(table)["ridge (ours)"] == rows(table)["ours (ours)"]
    assert rows(table)["ridge (ours)"]["Avg"] == "-"
    assert "-" not in rows(table)["best constant (ours)"].values()


def test_results_of_a_floor_are_no_other_program():
    evaluation = evaluation_of(labels_with(9, 8, 2))
    results = summarise(evaluation, "test", None, "abc")
    for method, words in (
        ("floor: ridge", "fitted without a network"),
        (None, "predictions of another program"),
    ):
        named = {**results, "method": method} if method else results
        assert f"Mean over the mask seeds 0, 1; {words}." in main_table(named).notes
        material = material_of(evaluation, seed=None)
        material.results.update(named)
        assert RunGroup("it", [material]).words == words
