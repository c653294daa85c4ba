"""Published figures: right as printed, and shown only beside results of the same test set."""

import numpy as np
import pytest
from report_case import labels_with, method_of
from sklearn.metrics import f1_score

from fsrf_jax.reporting.published import published_section, published_table, published_tables

TABLES = published_tables()

MOSI = labels_with(379, 277, 30)


@pytest.fixture(scope="module")
def ours():
    return method_of(MOSI, seeds=(0, 1))


def rows(section):
    (table,) = section.blocks
    return {name: dict(zip(table.header[1:], cells, strict=True)) for name, *cells in table.rows}


@pytest.mark.parametrize("table", [t for t in TABLES if t.protocol == "corrkd"])
def test_every_printed_average_is_that_of_its_row(table):
    for name, row in table.rows.items():
        # As printed, to two decimals of what had two decimals.
        assert np.mean(row[:6]) == pytest.approx(row[6], abs=0.0101), name


def test_every_row_has_every_column():
    assert [(t.data, t.protocol) for t in TABLES] == [
        ("CMU-MOSI", "corrkd"),
        ("CMU-MOSEI", "corrkd"),
        ("CMU-MOSI", "lnln"),
    ]
    for table in TABLES:
        assert {len(row) for row in table.rows.values()} == {len(table.columns)}


@pytest.mark.parametrize("table", TABLES)
def test_a_test_set_is_known_by_its_labels(table):
    results = {"metrics": "mosi", "protocol": table.protocol}
    assert published_table(results, labels_with(*table.signs)) == table
    assert published_table({**results, "metrics": "sims"}, labels_with(*table.signs)) is None
    assert published_table({**results, "protocol": "cmad"}, labels_with(*table.signs)) is None
    negative, positive, zero = table.signs
    assert published_table(results, labels_with(negative - 1, positive + 1, zero)) is None


def test_ours_stand_below_the_published_ones(ours):
    found = rows(published_section([ours]))
    assert found["HRLF"]["{l}"] == "83.36"
    assert found["CorrKD"]["Avg"] == "74.69"
    figures = [
        next(e for e in run.results["conditions"] if e["name"] == "language")["metrics"]["f1_non0"]
        for run in ours.runs
    ]
    mean, std = 100 * np.mean(figures), 100 * np.std(figures, ddof=1)
    assert found["ours (ours)"]["{l}"] == f"{mean:.1f} ± {std:.1f}"
    assert "-" not in found["ours (ours)"].values()


def test_the_floors_are_those_of_the_labels(ours):
    found = rows(published_section([ours]))
    true = MOSI[MOSI != 0] > 0
    constant = np.zeros(len(true), bool)
    right = 100 * f1_score(true, constant, average="weighted", zero_division=0)
    swapped = 100 * f1_score(constant, true, average="weighted", zero_division=0)
    assert set(found["best constant (ours)"].values()) == {f"{right:.1f}"}
    assert set(found["best constant, swapped F1"].values()) == {f"{swapped:.1f}"} == {"73.2"}


def test_the_caveats_are_never_left_out(ours):
    for section in (
        published_section([ours]),
        published_section([method_of(MOSI, protocol="lnln")]),
    ):
        notes = " ".join(section.blocks[0].notes)
        assert "Source: " in notes
        assert "Features differ from paper to paper" in notes
        assert "by the predicted classes" in notes
        assert "noise" in notes


def test_a_method_with_fewer_modalities_has_no_average():
    found = rows(published_section([method_of(MOSI, modalities=("language", "audio"))]))
    missing = {head for head, cell in found["ours (ours)"].items() if cell == "-"}
    assert missing == {"{v}", "{l,v}", "{a,v}", "Avg", "{l,a,v}"}
    rates = method_of(MOSI, modalities=("language", "audio"), protocol="lnln")
    assert set(rows(published_section([rates]))["ours (ours)"].values()) == {"-"}


def test_the_means_over_rates_stand_beside_ours():
    method = method_of(MOSI, protocol="lnln")
    found = rows(published_section([method]))
    assert found["SemMSA"] == {
        **{"Acc7": "36.49", "Acc5": "40.93", "Acc2": "73.91", "MAE": "1.011", "Corr": "0.550"},
    }
    average = method.first.results["average"]["metrics"]
    assert found["ours (ours)"]["MAE"] == f"{average['mae']:.3f}"
    assert found["ours (ours)"]["Acc2"] == f"{100 * average['acc2_non0']:.1f}"


@pytest.mark.parametrize("settings", [{"protocol": "tfrnet"}, {"protocol": "cmad"}])
def test_nothing_is_shown_under_another_protocol(settings):
    assert published_section([method_of(MOSI, **settings)]) is None


def test_nothing_is_shown_for_other_labels():
    assert published_section([method_of(labels_with(20, 15, 3))]) is None
