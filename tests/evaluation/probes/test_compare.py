"""The probes of several variants side by side, from dictionaries written by hand."""

import pytest

from fsrf_jax.evaluation.probes.compare import compare_probes
from fsrf_jax.reporting.probes_tables import compared_probes

KINDS = "HSN"


def known(u, has=KINDS):
    """Probes of built-in data; every code has shares of its own."""
    shares = {"u": u, "w": 0.2, "r": 0.1, "others": 0.0, "rest": 0.7 - u}
    relative = {"u": u / (u + 0.3), "w": 0.2 / (u + 0.3), "r": 0.1 / (u + 0.3)}
    return {
        "variance_shares": {},
        "mean": {
            "variance_shares": dict.fromkeys(has, shares),
            "normalised": dict.fromkeys(has, relative),
        },
    }


def unknown(label, other=0.5, has=KINDS):
    names = [f"{kind} {m}" for kind in has for m in ("audio", "text")]
    place = {name: i for i, name in enumerate(names)}
    matrix = [[1.0 if row == column else other for column in names] for row in names]
    if "H" in has and "S" in has:
        matrix[place["H audio"]][place["S audio"]] = 0.1
        matrix[place["H text"]][place["S text"]] = 0.3
    identity = {"H": 0.6, "S": 0.9, "N": None}
    return {
        "modalities": ["audio", "text"],
        "mean": {"label": {kind: {"label": label} for kind in has}},
        "modality_identity": {kind: identity[kind] for kind in has},
        "cka": {"names": names, "matrix": matrix},
    }


def test_known_latents():
    table = compare_probes({"full": {0: known(0.2), 1: known(0.5)}, "less": {0: known(0.1)}})
    assert table["known_latents"]
    full = table["variants"]["full"]
    assert full["H: u"] == pytest.approx({"mean": (0.4 + 0.625) / 2, "std": 0.225 / 2**0.5})
    assert full["S: w"]["mean"] == pytest.approx((0.4 + 0.25) / 2)
    assert full["N: r"]["mean"] == pytest.approx((0.2 + 0.125) / 2)
    assert full["N: u and w"]["mean"] == pytest.approx((0.4 + 0.7) / 2)  # of all the variance
    assert table["variants"]["less"]["H: u"] == {"mean": pytest.approx(0.25), "std": None}
    shown = compared_probes(table)
    header, rows, note = shown.header, shown.rows, shown.notes[0]
    assert header[:3] == ["variant", "H: u", "S: w"]
    assert [row[:2] for row in rows] == [["full", "0.51 ± 0.16"], ["less", "0.25"]]
    assert "N: u and w" in note


def test_unknown_latents():
    table = compare_probes({"full": {0: unknown(0.3), 1: unknown(None)}, "b": {0: unknown(0.4)}})
    assert not table["known_latents"]
    assert table["variants"]["full"]["label from S"] == {"mean": None, "std": None}
    b = {name: cell["mean"] for name, cell in table["variants"]["b"].items()}
    assert b["label from N"] == 0.4
    assert (b["modality from H"], b["modality from S"]) == (0.6, 0.9)
    assert b["CKA of H, S"] == pytest.approx(0.2)
    assert (b["CKA of H, N"], b["CKA of S, N"]) == (0.5, 0.5)
    assert compared_probes(table).rows[0][1] == "-"


NONE = {"mean": None, "std": None}


def defined(figures):
    return {name for name, cell in figures.items() if cell != NONE}


@pytest.mark.parametrize(
    ("has", "names"),
    [
        ("H", {"H: u"}),
        ("S", {"S: w", "S: u", "S: r"}),
        ("N", {"N: r", "N: u and w"}),
        ("HN", {"H: u", "N: r", "N: u and w"}),
    ],
)
def test_known_latents_of_a_method_that_lacks_codes(has, names):
    table = compare_probes(
        {"whole": {0: known(0.2), 1: known(0.5)}, "some": {0: known(0.2, has), 1: known(0.5, has)}}
    )
    whole, some = (table["variants"][name] for name in ("whole", "some"))
    assert list(some) == list(whole)
    assert defined(some) == names
    assert {name: some[name] for name in names} == {name: whole[name] for name in names}
    shown = compared_probes(table)
    cells = zip(shown.header[1:], shown.rows[1][1:], strict=True)
    assert {name for name, cell in cells if cell != "-"} == names


@pytest.mark.parametrize(
    ("has", "names"),
    [
        ("H", {"label from H", "modality from H"}),
        ("S", {"label from S", "modality from S"}),
        ("N", {"label from N"}),
        ("HN", {"label from H", "modality from H", "label from N", "CKA of H, N"}),
        ("HS", {"label from H", "modality from H", "label from S", "modality from S"}
         | {"CKA of H, S"}),
    ],
)  # fmt: skip
def test_unknown_latents_of_a_method_that_lacks_codes(has, names):
    # The first variant decides what is compared: it may be the one that lacks some.
    table = compare_probes({"some": {0: unknown(0.3, has=has)}, "whole": {0: unknown(0.3)}})
    whole, some = (table["variants"][name] for name in ("whole", "some"))
    assert list(some) == list(whole)
    assert defined(some) == names
    assert {name: some[name] for name in names} == {name: whole[name] for name in names}
