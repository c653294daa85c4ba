"""The chapter of the scores says what the results say, and how sure that is."""

import numpy as np
import pytest
from report_case import evaluation_of, labels_with, material_of, method_of

from fsrf_jax.evaluation.comparison import compare_methods, spread_of
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.reporting.document import Figure, Folded, Table
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.numbers import signed
from fsrf_jax.reporting.scores import certainty_section, method_table, score_section

LABELS = labels_with(14, 11, 3)
ACC2 = Column("Acc2", "acc2_non0")


@pytest.fixture(scope="module")
def methods():
    return [
        method_of(LABELS, "plain", seeds=(0, 1)),
        method_of(LABELS, "full", seeds=(0, 1)),
        method_of(LABELS, "third", seeds=(7,)),
    ]


@pytest.fixture(scope="module")
def chapter(methods):
    comparisons = compare_methods({m.name: m.evaluated for m in methods}, resamples=20)
    return score_section(methods, comparisons)


def tables(blocks):
    return {block.caption: block for block in blocks if isinstance(block, Table)}


def rows(table):
    return {name: dict(zip(table.header[1:], cells, strict=True)) for name, *cells in table.rows}


def test_one_run_shows_its_results(methods):
    run = methods[2].first
    (table, figure) = score_section([methods[2]], {}).blocks
    found = rows(table)
    for entry in run.results["conditions"]:
        name = next(row for row in found if row.split(" (")[0] == entry["name"])
        metrics, cells = entry["metrics"], found[name]
        assert cells["Acc2"] == f"{100 * metrics['acc2_non0']:.1f}"
        assert cells["MAE"] == f"{metrics['mae']:.3f}"
        low, high = entry["bootstrap"]["acc2_non0"]
        assert cells["Acc2 95 %"] == f"{100 * low:.1f} .. {100 * high:.1f}"
        assert ("(collapsed)" in name) == entry["collapse"]["collapsed"]
        assert ("(nothing seen)" in name) == entry["collapse"]["sanity"]
    assert "audio (collapsed)" in found
    assert table.strong == 2
    assert isinstance(figure, Figure)


def test_several_seeds_show_mean_and_deviation(methods):
    found = rows(method_table(methods[0]))
    values = [run.results["conditions"][0]["metrics"]["mae"] for run in methods[0].runs]
    expected = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    assert found["language"]["MAE"] == expected
    assert found["audio"]["Acc2"].endswith(" *")
    assert list(found)[-3:] == ["rate=1.0 (nothing seen)", "average", "all conditions"]


def test_methods_stand_side_by_side(methods, chapter):
    found = rows(tables(chapter.blocks)["Acc2, protocol corrkd, test split"])
    for method in methods:
        spread = spread_of(method.evaluated, "average", "acc2_non0")
        assert found["average"][method.name].startswith(f"{100 * spread.mean:.1f}")
        assert (" ± " in found["average"][method.name]) == (len(method.runs) > 1)


def test_differences_are_to_the_first_method(methods, chapter):
    found = rows(tables(chapter.blocks)["Acc2, average: differences to plain"])
    assert list(found) == ["plain", "full", "third"]
    assert set(list(found["plain"].values())[1:]) == {""}
    # The same two runs: nothing differs, which is within the spread.
    assert found["full"]["difference to plain"] == "+0.0"
    assert found["full"]["within spread"] == "yes"
    assert found["third"]["p over seeds"] == "-"
    means = [spread_of(m.evaluated, "average", "acc2_non0").mean for m in methods]
    assert found["third"]["difference to plain"] == signed(means[2] - means[0], ACC2)


def test_a_difference_within_the_spread_is_marked(chapter):
    found = rows(tables(chapter.blocks)["Acc2: differences to plain by condition"])
    assert found["language"]["full"] == "+0.0 (+0.0 .. +0.0) ~"


def test_every_other_figure_can_be_unfolded(chapter):
    folded = [block.summary for block in chapter.blocks if isinstance(block, Folded)]
    assert folded == [
        *(f"Differences in {name}" for name in ("F1", "MAE", "Corr", "Acc7")),
        *(f"All figures of {name}" for name in ("plain", "full", "third")),
    ]


def test_one_seed_each_leaves_the_spread_unknown():
    pair = [method_of(LABELS, name, seeds=(0,)) for name in ("a", "b")]
    comparison = compare_methods({"a": pair[0].evaluated, "b": pair[1].evaluated}, resamples=20)
    found = rows(tables(score_section(pair, comparison).blocks)["Acc2, average: differences to a"])
    assert found["b"]["within spread"] == "unknown"


def test_curves_have_the_methods_and_the_best_constant(chapter):
    (figure,) = (block for block in chapter.blocks if isinstance(block, Figure))
    assert [name for _, name in figure.legend] == ["plain", "full", "third", "best constant"]
    assert len(figure.panels) == 2
    assert "third from" in figure.panels[0].alt


def test_more_methods_than_styles_are_told_of():
    runs = [material_of(evaluation_of(LABELS), f"m{i}") for i in range(6)]
    many = [RunGroup(run.name, [run]) for run in runs]
    two = {"a": many[1].evaluated, "b": many[0].evaluated}
    same = compare_methods(two, resamples=5)["b"]
    chapter = score_section(many, {m.name: same for m in many[1:]})
    (figure,) = (block for block in chapter.blocks if isinstance(block, Figure))
    assert "The first 4 of 6 methods." in figure.caption
    assert len(figure.legend) == 5


def test_a_protocol_without_a_line_of_rates_has_no_curves():
    chapter = score_section([method_of(LABELS, protocol="cmad")], {})
    assert not any(isinstance(block, Figure) for block in chapter.blocks)


def test_a_protocol_without_an_average_still_has_its_rows():
    pair = [method_of(LABELS, name, protocol="gcnet") for name in ("a", "b")]
    comparison = compare_methods({"a": pair[0].evaluated, "b": pair[1].evaluated}, resamples=5)
    found = tables(score_section(pair, comparison).blocks)
    assert "Acc2, all conditions: differences to a" in found
    assert "Acc2, average: differences to a" not in found


def test_intervals_and_collapse_of_each_method(methods):
    alone = certainty_section([methods[2]]).blocks
    assert [block.caption for block in alone] == ["Certainty, collapse, recovery"]
    several = certainty_section(methods).blocks
    assert [block.summary for block in several] == ["plain", "full", "third"]
    assert "training seed 0" in several[0].blocks[0].caption


@pytest.mark.parametrize(
    ("figure", "percent", "number"),
    [(0.0123, "+1.2", "+0.012"), (-0.0004, "+0.0", "+0.000"), (None, "-", "-")],
)
def test_a_difference_has_a_sign(figure, percent, number):
    assert signed(figure, ACC2) == percent
    assert signed(figure, Column("MAE", "mae", percent=False)) == number
