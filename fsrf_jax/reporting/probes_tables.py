"""The probes of the codes as Markdown, from the results dictionary alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.probes.measures import Figures
from fsrf_jax.reporting.markdown import markdown_rows
from fsrf_jax.reporting.numbers import two_digits

SHARES = ("u", "w", "r", "others", "rest")
NORMALISED = ("u", "w", "r")
DECODED = ("u", "w", "r", "label")


def probes_markdown(results: Mapping[str, Any]) -> str:
    """Write what `probe` gives as a Markdown document; a dash is undefined."""
    parts = ["# Probes of the codes", _introduction(results)]
    if "variance_shares" in results:
        parts += ["## Variance shares", _shares(results), _SHARES_NOTES]
        parts += ["## Decoding", _by_code(results, "decoding", DECODED), _decoding_notes(results)]
    else:
        parts += ["## Decoding of the label", _by_code(results, "label", ("label",))]
        parts += [_decoding_notes(results)]
    parts += ["## Modality told from the code", _identity(results)]
    parts += ["## Alignment of the codes (linear CKA)", _alignment(results["cka"])]
    return "\n\n".join(parts) + "\n"


def code_rows(results: Mapping[str, Any], table: str) -> list[tuple[str, Figures]]:
    """Name and figures of every code in a table of the results, and of each kind's mean."""
    rows = []
    for kind, of_kind in results[table].items():
        rows += [(f"{kind} {m}", figures) for m, figures in of_kind.items()]
        rows.append((f"{kind} mean", results["mean"][table][kind]))
    return rows


_SHARES_NOTES = """\
Part of a code's variance that is linearly explained by u (shared, relevant), by the modality's own
w (private, relevant) and r (private, irrelevant), by the w and r of the others; the rest is
disturbance, frame noise and what no linear map finds. The parts sum to 1. The last three columns
divide by what u, w and r explain together."""


def _introduction(results: Mapping[str, Any]) -> str:
    return (
        f"{results['n']} samples, every frame observed. H is homogeneous, S heterogeneous, N noise."
    )


def _shares(results: Mapping[str, Any]) -> str:
    parts = code_rows(results, "normalised")
    lines = []
    for (name, shares), (_, relative) in zip(
        code_rows(results, "variance_shares"), parts, strict=True
    ):
        cells = [shares[group] for group in SHARES] + [relative[group] for group in NORMALISED]
        lines.append([name, *map(two_digits, cells)])
    header = ["code", *SHARES, *(f"{group} / (u+w+r)" for group in NORMALISED)]
    return markdown_rows(header, lines)


def _by_code(results: Mapping[str, Any], table: str, columns: Sequence[str]) -> str:
    lines = [
        [name, *(two_digits(figures[column]) for column in columns)]
        for name, figures in code_rows(results, table)
    ]
    return markdown_rows(["code", *columns], lines)


def _decoding_notes(results: Mapping[str, Any]) -> str:
    noise, folds = results["noise_floor"], results["folds"]
    return (
        f"R^2 of a linear probe, {folds}-fold cross-validated, on codes of total variance 1 under\n"
        f"noise of variance {noise:g} in every direction: what makes up {noise:.0%} of a code's "
        "variance, in a\ndirection of its own, is decoded with R^2 = 0.50."
    )


def _identity(results: Mapping[str, Any]) -> str:
    lines = [[kind, two_digits(rate)] for kind, rate in results["modality_identity"].items()]
    lines.append(["chance", two_digits(results["chance"])])
    return markdown_rows(["code", "accuracy"], lines)


def _alignment(cka: Mapping[str, Any]) -> str:
    lines = [
        [name, *map(two_digits, row)] for name, row in zip(cka["names"], cka["matrix"], strict=True)
    ]
    return markdown_rows(["code", *cka["names"]], lines)
