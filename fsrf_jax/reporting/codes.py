"""The chapter on the codes: principal components, probes, recovery.

Axis letters: n sample, d width of a code, k component.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fsrf_jax.evaluation.probes.measures import principal_plane
from fsrf_jax.evaluation.probes.probe import KINDS
from fsrf_jax.reporting.document import (
    Block,
    Figure,
    Folded,
    Panel,
    Paragraph,
    Section,
    Table,
)
from fsrf_jax.reporting.material import Absent, RunGroup
from fsrf_jax.reporting.pictures import panel, sample, scatter_chart
from fsrf_jax.reporting.probes_tables import probes_tables, recovery_table
from fsrf_jax.types import Codes

MOST_SAMPLES = 150
"""Samples of one picture; each has a point for each of its modalities."""

Groups = Mapping[int, tuple[str, int]]
"""Name and style of every group of points."""

WORDS = {"H": "homogeneous (H)", "S": "heterogeneous (S)", "N": "noise (N)"}


def codes_section(
    methods: Sequence[RunGroup], codes: Mapping[str, Codes | Absent], form: str
) -> Section:
    """Pictures and tables of the codes of each method's first run.

    Args:
        methods: those to show.
        codes: by method, of the samples of its results with every frame observed.
        form: of the labels, see `fsrf_jax.data.labels`.
    """
    blocks: list[Block] = []
    for method in methods:
        found = codes.get(method.name, Absent("they were not computed."))
        name = f"{method.name}: "
        if isinstance(found, Absent):
            blocks.append(Paragraph(f"{name}no pictures of the codes: {found.reason}"))
        else:
            blocks += _pictures(found, method.first.evaluated.labels, form, name)
        if method.first.probes is not None:
            of = f"{name}{method.first.probes['split']} split, every frame observed: "
            *read, alignment = _named(of, probes_tables(method.first.probes))
            blocks += [*read, Folded(f"{name}{alignment.caption.split(': ')[-1]}", [alignment])]
        else:
            blocks.append(Paragraph(f"{name}no probes; bin/evaluate RUN --probes measures them."))
        if method.first.recovery is not None:
            of = f"{name}{method.first.recovery['split']} split: "
            blocks += _named(of, [recovery_table(method.first.recovery)])
        else:
            text = f"{name}no recovery of codes; bin/evaluate RUN --recovery measures it."
            blocks.append(Paragraph(text))
    return Section("Codes", blocks)


def _named(of: str, tables: Sequence[Table]) -> list[Table]:
    return [dataclasses.replace(table, caption=f"{of}{table.caption}") for table in tables]


def _pictures(codes: Codes, labels: np.ndarray, form: str, name: str) -> list[Block]:
    """The plane of each kind of code, by modality and by sentiment."""
    modalities = codes.modalities
    there = {m: np.asarray(codes.available[i]) > 0 for i, m in enumerate(modalities)}
    group_n, of_label = sentiments(labels, form)
    of_modality: Groups = {i: (m, i) for i, m in enumerate(modalities)}
    of_samples = np.concatenate([group_n[there[m]] for m in modalities])
    of_modalities = np.concatenate([np.full(there[m].sum(), i) for i, m in enumerate(modalities)])
    numbers = np.concatenate([np.flatnonzero(there[m]) for m in modalities])
    place = np.unique(np.linspace(0, len(labels) - 1, MOST_SAMPLES).round().astype(int))
    drawn = np.isin(numbers, place)
    by_modality: list[Panel] = []
    by_sentiment: list[Panel] = []
    for kind, field in KINDS.items():
        code_mnd = getattr(codes, field)
        if code_mnd is None:  # the method does not have this code
            continue
        rows = np.concatenate(
            [code_nd[there[m]] for m, code_nd in zip(modalities, code_mnd, strict=True)]
        )
        plane, shares = principal_plane(rows)
        told = f"{100 * shares[0]:.0f} and {100 * shares[1]:.0f} percent of the variance"
        for panels, of_rows, groups in (
            (by_modality, of_modalities, of_modality),
            (by_sentiment, of_samples, of_label),
        ):
            alt = f"components 1 and 2 have {told}; {_centres(plane, of_rows, groups)}"
            found = of_rows[drawn]
            clouds = {s: plane[drawn][found == group] for group, (_, s) in groups.items()}
            axes = tuple(f"component {k + 1} ({100 * shares[k]:.0f} %)" for k in (0, 1))
            panels.append(panel(WORDS[kind], alt, axes, scatter_chart, clouds))
    if not by_modality:
        none = "the method has no homogeneous, heterogeneous or noise codes."
        return [Paragraph(f"{name}no pictures of the codes: {none}")]
    some = (
        f"{len(place)} of {len(labels)} samples are drawn"
        if len(place) < len(labels)
        else ("all samples are drawn")
    )
    caption = (
        f"Codes of {name}first two principal components of each kind, all modalities together, "
        f"every frame observed; {some}, the components are those of all."
    )
    return [
        Figure(f"{caption} By modality.", by_modality, _legend(of_modality, of_modalities)),
        Figure(f"{caption} By sentiment.", by_sentiment, _legend(of_label, of_samples)),
    ]


def sentiments(labels: np.ndarray, form: str) -> tuple[np.ndarray, Groups]:
    """Which group each label belongs to, int [n], and the groups.

    Numbers are negative, zero or positive; classes their own; of binary tasks the first counts.
    """
    labels = np.asarray(labels)
    if form == "number":
        # A disc, a cross and a plus are told apart in grey as well.
        return np.sign(labels).astype(int), {
            -1: ("negative", 0),
            0: ("zero", 5),
            1: ("positive", 4),
        }
    if form == "class":
        found = labels.astype(int)
        return found, {int(c): (f"class {c}", int(c)) for c in np.unique(found)}
    return (labels[:, 0] > 0.5).astype(int), {0: ("first task 0", 0), 1: ("first task 1", 4)}


def _centres(plane: np.ndarray, group_n: np.ndarray, groups: Groups) -> str:
    """Where the groups lie, for who does not see the picture."""
    found = [
        f"{name} around ({x:.2g}, {y:.2g})"
        for group, (name, _) in groups.items()
        if (group_n == group).any()
        for x, y in [plane[group_n == group].mean(axis=0) + 0.0]
    ]
    return ", ".join(found)


def _legend(groups: Groups, group_n: np.ndarray) -> list[tuple[str, str]]:
    """The groups that occur."""
    return [
        (sample(style, line=False), name)
        for group, (name, style) in groups.items()
        if (group_n == group).any()
    ]
