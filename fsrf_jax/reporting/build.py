"""The whole report of some methods, chapter by chapter."""

from collections.abc import Mapping, Sequence

from fsrf_jax.evaluation.comparison import Comparison
from fsrf_jax.reporting.answers import answers_section
from fsrf_jax.reporting.codes import codes_section
from fsrf_jax.reporting.data import data_section, masks_section
from fsrf_jax.reporting.document import Document, Items, Section
from fsrf_jax.reporting.learning import learning_section
from fsrf_jax.reporting.material import Absent, RunGroup
from fsrf_jax.reporting.paper_table import paper_table
from fsrf_jax.reporting.published import published_section
from fsrf_jax.reporting.scores import certainty_section, score_section
from fsrf_jax.reporting.setup import runs_section, settings_section
from fsrf_jax.source import Source
from fsrf_jax.types import Codes

DETAILED = 4
"""Methods whose predictions, certainty and codes are shown; tables and curves have more."""

FOR_A_CLAIM = 5
"""Training seeds without which a difference is no result."""


def build(
    methods: Sequence[RunGroup],
    comparisons: Mapping[str, Comparison],
    source: Source | Absent,
    codes: Mapping[str, Codes | Absent],
    left_out: Sequence[str] = (),
) -> Document:
    """Put the report together.

    Args:
        methods: evaluated alike, at least one.
        comparisons: of each method but the first with the first, by name.
        source: the data of the runs, or why they cannot be shown.
        codes: of the first run of each method, of the samples of its results.
        left_out: notes on what is not in the report.
    """
    results = methods[0].first.results
    detailed = methods[:DETAILED]
    sections: list[Section | None] = [
        score_section(methods, comparisons),
        Section("Table for a paper", [paper_table(methods)]),
        published_section(methods),
        certainty_section(detailed),
        answers_section(detailed),
        learning_section(methods),
        codes_section(detailed, codes, results["form"]),
        settings_section(methods),
        data_section(source),
        masks_section(results, source),
        runs_section(methods),
    ]
    return Document(
        title=_title(methods),
        lead=[Items([*_lead(methods), *left_out])],
        sections=[section for section in sections if section is not None],
    )


def _title(methods: Sequence[RunGroup]) -> str:
    if len(methods) == 1:
        return f"Report: {methods[0].name}"
    if len(methods) <= 3:
        return "Report: " + ", ".join(method.name for method in methods)
    return f"Report: {len(methods)} methods, from {methods[0].name} to {methods[-1].name}"


def _lead(methods: Sequence[RunGroup]) -> list[str]:
    results = methods[0].first.results
    runs = sum(len(method.runs) for method in methods)
    facts = [
        f"Protocol {results['protocol']}, {results['split']} split, {results['n']} samples.",
        f"{runs} run{'s' if runs > 1 else ''}, {len(methods)} method"
        f"{'s' if len(methods) > 1 else ''}.",
    ]
    if runs > len(methods):
        facts.append(
            "Runs whose settings differ in the training seed alone are one method, shown as mean ± "
            "standard deviation."
        )
    fewest = min(len(method.runs) for method in methods)
    if fewest == 1:
        facts.append(
            "A method with one training seed: what another seed would change is not known here."
        )
    elif fewest < FOR_A_CLAIM:
        facts.append(
            f"{fewest} training seeds in the method with the fewest; a claim needs {FOR_A_CLAIM}."
        )
    if len(methods) > DETAILED:
        facts.append(
            f"Certainty, predictions and codes are shown of the first {DETAILED} methods alone."
        )
    return facts
