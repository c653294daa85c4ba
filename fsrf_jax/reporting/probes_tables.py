"""What the codes hold, and how close those of incomplete samples are to the complete ones'."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.probes.code_recovery import FIGURES
from fsrf_jax.evaluation.probes.measures import Figures
from fsrf_jax.reporting.document import Document, Paragraph, Section, Table
from fsrf_jax.reporting.numbers import number, percent, two_digits

SHARES = ("u", "w", "r", "others", "rest")
NORMALISED = ("u", "w", "r")
DECODED = ("u", "w", "r", "label")

KINDS = "H is homogeneous, S heterogeneous, N noise."
SHARES_NOTES = (
    "Part of a code's variance that is linearly explained by u (shared, relevant), by the "
    "modality's own w (private, relevant) and r (private, irrelevant), by the w and r of the "
    "others; the rest is disturbance, frame noise and what no linear map finds. The parts sum to "
    "1. The last three columns divide by what u, w and r explain together.",
)
EXPLAINED = {
    True: "Share of a code's variance that u (shared, relevant), w (private, relevant) or r "
    "(private, irrelevant) explains, of what the three explain together; `N: u and w`, of all the "
    f"variance. {KINDS}",
    False: "R^2 of a linear probe for the label; accuracy of telling the modality from a code; "
    f"linear CKA between codes of one modality. {KINDS}",
}


def probes_document(probes: Mapping[str, Any]) -> Document:
    """What `probe` gives, as `probes.md` has it."""
    lead = Paragraph(f"{probes['n']} samples, every frame observed. {KINDS}")
    return Document("Probes of the codes", [lead], _sections(probes_tables(probes)))


def recovery_document(recovery: Mapping[str, Any]) -> Document:
    """What `measure_protocol` gives, as `recovery.md` has it."""
    table = dataclasses.replace(recovery_table(recovery), caption="")
    return Document(f"Recovery of codes, protocol {recovery['protocol']}", [table], [])


def _sections(tables: Sequence[Table]) -> list[Section]:
    return [Section(t.caption, [dataclasses.replace(t, caption="")]) for t in tables]


def probes_tables(probes: Mapping[str, Any]) -> list[Table]:
    """Variance shares (with known latents), decoding, modality, alignment; a dash is undefined."""
    tables = []
    decoded: tuple[str, ...] = ("label",)
    table = "label"
    if "variance_shares" in probes:
        decoded, table = DECODED, "decoding"
        rows = [
            [
                code,
                *(two_digits(shares[g]) for g in SHARES),
                *(two_digits(of[g]) for g in NORMALISED),
            ]
            for (code, shares), (_, of) in zip(
                code_rows(probes, "variance_shares"), code_rows(probes, "normalised"), strict=True
            )
        ]
        header = ["code", *SHARES, *(f"{group} / (u+w+r)" for group in NORMALISED)]
        tables.append(Table("Variance shares", header, rows, SHARES_NOTES))
    noise, folds = probes["noise_floor"], probes["folds"]
    note = (
        f"R^2 of a linear probe, {folds}-fold cross-validated, on codes of total variance 1 under "
        f"noise of variance {noise:g} in every direction: what makes up {noise:.0%} of a code's "
        "variance, in a direction of its own, is decoded with R^2 = 0.50."
    )
    rows = [
        [code, *(two_digits(figures[column]) for column in decoded)]
        for code, figures in code_rows(probes, table)
    ]
    of = "" if table == "decoding" else " of the label"
    tables.append(Table(f"Decoding{of}", ["code", *decoded], rows, [note]))
    rates = {**probes["modality_identity"], "chance": probes["chance"]}
    rows = [[kind, two_digits(rate)] for kind, rate in rates.items()]
    tables.append(Table("Modality read from the code", ["code", "accuracy"], rows))
    cka = probes["cka"]
    rows = [[c, *map(two_digits, row)] for c, row in zip(cka["names"], cka["matrix"], strict=True)]
    tables.append(Table("Alignment of the codes (linear CKA)", ["code", *cka["names"]], rows))
    return tables


def code_rows(probes: Mapping[str, Any], table: str) -> list[tuple[str, Figures]]:
    """Name and figures of every code in a table of the probes, and of each kind's mean."""
    rows = []
    for kind, of_kind in probes[table].items():
        rows += [(f"{kind} {m}", figures) for m, figures in of_kind.items()]
        rows.append((f"{kind} mean", probes["mean"][table][kind]))
    return rows


def recovery_table(recovery: Mapping[str, Any]) -> Table:
    """The fused codes under every condition, and those of chance."""
    rows = [(entry["name"], entry["metrics"]) for entry in recovery["conditions"]]
    body = [
        [
            name,
            number(figures[FIGURES[0]]),
            "-" if figures[FIGURES[1]] is None else f"{figures[FIGURES[1]]:.1f}",
            *(percent(figures[key]) for key in FIGURES[2:]),
        ]
        for name, figures in [*rows, ("chance", recovery["chance"])]
    ]
    notes = [
        f"{recovery['n']} samples. The fused code of each incomplete view, compared by cosine "
        "similarity with the fused codes of all samples seen whole.",
        "rank: place of the right sample, 1 is best; recall@k: share of ranks of at most k, in "
        "percent.",
        f"Mean over the mask seeds {', '.join(map(str, recovery['mask_seeds']))}.",
    ]
    header = ["condition", "cosine", "median rank", "recall@1", "recall@10"]
    return Table("Recovery of codes", header, body, notes, strong=1)


def compared_probes(comparison: Mapping[str, Any]) -> Table:
    """What `compare_probes` gives: the figures that sum the probes of every variant up."""
    variants = comparison["variants"]
    rows = [[name, *map(_mean_cell, figures.values())] for name, figures in variants.items()]
    header = ["variant", *next(iter(variants.values()))]
    return Table("What the codes hold", header, rows, [EXPLAINED[comparison["known_latents"]]])


def _mean_cell(cell: Figures) -> str:
    mean, std = two_digits(cell["mean"]), cell["std"]
    return mean if std is None else f"{mean} ± {two_digits(std)}"
