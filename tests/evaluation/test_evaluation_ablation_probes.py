"""The probes of several variants side by side, from dictionaries written by hand."""

import pytest

from fsrf_jax.evaluation.ablation.probes import compare_probes, probes_section

KINDS = "HSN"


def known(u):
    """Probes of built-in data; every code has shares of its own."""
    shares = {"u": u, "w": 0.2, "r": 0.1, "others": 0.0, "rest": 0.7 - u}
    relative = {"u": u / (u + 0.3), "w": 0.2 / (u + 0.3), "r": 0.1 / (u + 0.3)}
    return {
        "variance_shares": {},
        "mean": {
            "variance_shares": dict.fromkeys(KINDS, shares),
            "normalised": dict.fromkeys(KINDS, relative),
        },
    }


def unknown(label, other=0.5):
    names = [f"{kind} {m}" for kind in KINDS for m in ("audio", "text")]
    place = {name: i for i, name in enumerate(names)}
    matrix = [[1.0 if row == column else other for column in names] for row in names]
    matrix[place["H audio"]][place["S audio"]] = 0.1
    matrix[place["H text"]][place["S text"]] = 0.3
    return {
        "modalities": ["audio", "text"],
        "mean": {"label": {kind: {"label": label} for kind in KINDS}},
        "modality_identity": {"H": 0.6, "S": 0.9, "N": None},
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
    header, rows, note = probes_section(table)
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
    assert probes_section(table)[1][0][1] == "-"
