"""The chapters on the data: what the splits hold, what the samples lack, what the masks hide."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Split
from fsrf_jax.evaluation.protocols.files import from_description
from fsrf_jax.evaluation.protocols.masks import make_observer, masks_digest
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.reporting.document import (
    Block,
    Figure,
    Items,
    Paragraph,
    Section,
    Table,
)
from fsrf_jax.reporting.material import Absent
from fsrf_jax.reporting.numbers import percent
from fsrf_jax.reporting.pictures import histogram, panel
from fsrf_jax.source import Source

BINS = 20


def data_section(source: Source | Absent) -> Section:
    """Sizes, labels, modalities and frames of every split, and what was cleaned."""
    if isinstance(source, Absent):
        return Section("Data", [Paragraph(f"No summary of the data: {source.reason}")])
    splits = {name: split for name, split in source.dataset.splits.items() if len(split)}
    blocks: list[Block] = [_labels(splits, source), _modalities(splits, source), _patterns(splits)]
    if source.form == "number":
        blocks.append(_histograms(splits))
    if source.dataset.notes:
        blocks += [Paragraph("When the data were read:"), Items(source.dataset.notes)]
    return Section("Data", blocks)


def _labels(splits: Mapping[str, Split], source: Source) -> Table:
    """Sizes and labels of the splits."""
    if source.form == "number":
        header = ["split", "samples", "mean", "std", "lowest", "highest", "negative", "zero"]
        header.append("positive")
        body = []
        for name, split in splits.items():
            y = np.asarray(split.labels, np.float64)
            figures = [f"{v:.3f}" for v in (y.mean(), y.std(), y.min(), y.max())]
            signs = [int(found.sum()) for found in (y < 0, y == 0, y > 0)]
            body.append([name, str(len(split)), *figures, *map(str, signs)])
        return Table("Samples and labels", header, body)
    if source.form == "class":
        header = ["split", "samples", *(f"class {c}" for c in range(source.outputs))]
        counts = {
            name: np.bincount(split.labels.astype(int), minlength=source.outputs)
            for name, split in splits.items()
        }
    else:
        header = ["split", "samples", *(f"task {t} positive" for t in range(source.outputs))]
        counts = {name: (split.labels > 0.5).sum(axis=0) for name, split in splits.items()}
    body = [[name, str(len(splits[name])), *map(str, found)] for name, found in counts.items()]
    return Table("Samples and labels", header, body)


def _modalities(splits: Mapping[str, Split], source: Source) -> Table:
    """Which share of the samples has each modality, and how many frames of it."""
    body = []
    for name, split in splits.items():
        for m, features in split.features.items():
            frames = split.valid[m].sum(axis=1)
            has = frames > 0
            few = frames[has] if has.any() else np.zeros(1)
            ids = source.vocabulary.get(m)
            width = f"{ids} token ids" if ids else str(features.shape[2])
            cells = [width, str(features.shape[1]), percent(float(has.mean()))]
            cells += [f"{few.mean():.1f}", str(int(few.min())), str(int(few.max()))]
            body.append([f"{name}, {m}", *cells, percent(float(split.valid[m].mean()))])
    header = ["split, modality", "features", "padded length", "samples that have it"]
    header += ["mean frames", "fewest", "most", "valid frames"]
    notes = [
        "Frames of the samples that have the modality; valid frames: share of the padded length. "
        "Shares in percent."
    ]
    return Table("Modalities and frames, as the data have them", header, body, notes)


def _patterns(splits: Mapping[str, Split]) -> Table:
    """How many samples have which modalities, before any mask."""
    counts: dict[str, dict[str, int]] = {}
    for name, split in splits.items():
        has = {m: split.valid[m].any(axis=1) for m in split.modalities}
        for row in zip(*has.values(), strict=True):
            pattern = "+".join(m for m, there in zip(has, row, strict=True) if there) or "nothing"
            of_pattern = counts.setdefault(pattern, dict.fromkeys(splits, 0))
            of_pattern[name] += 1
    body = [[pattern, *map(str, found.values())] for pattern, found in sorted(counts.items())]
    caption = "Samples by the modalities they have, before any mask"
    return Table(caption, ["modalities", *splits], body)


def _histograms(splits: Mapping[str, Split]) -> Figure:
    labels = {name: np.asarray(split.labels, np.float64) for name, split in splits.items()}
    everything = np.concatenate(list(labels.values()))
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1e-6), BINS + 1)
    panels = []
    for name, y in labels.items():
        shares = 100 * np.histogram(y, edges)[0] / len(y)
        alt = (
            f"{len(y)} labels, mean {y.mean():.2f}, standard deviation {y.std():.2f}, "
            f"{100 * (y > 0).mean():.0f} percent above 0"
        )
        panels.append(panel(name, alt, ("label", "percent"), histogram, edges, shares))
    return Figure("Distribution of the labels of each split.", panels)


def masks_section(results: Mapping[str, Any], source: Source | Absent) -> Section:
    """The law of the test masks, and what they show under each condition."""
    seeds = [int(seed) for seed in results["mask_seeds"]]
    facts = [
        f"Law: {results['mask_law']}.",
        f"Mask seeds: {', '.join(map(str, seeds))}.",
        f"Digest (SHA-256) of all masks: {results['masks_digest']}",
    ]
    if isinstance(source, Absent):
        facts.append(f"What they show is not counted here: {source.reason}")
        return Section("Masks", [Items(facts)])
    split = source.split(results["split"])
    described = results["protocol_description"]
    protocol = from_description(described, split.modalities, "results.json")
    observe = make_observer(split, seeds)
    ids = [str(i) for i in split.ids]
    found = masks_digest(protocol.conditions, seeds, ids, split.valid, observe)
    if found != results["masks_digest"]:
        facts.append(
            f"Masks drawn anew have another digest, {found}: these were read from a file, and what "
            "they show is not counted here."
        )
        return Section("Masks", [Items(facts)])
    facts.append("The masks were drawn anew for this report and have this digest.")
    return Section("Masks", [Items(facts), _observed(protocol, split, seeds)])


def _observed(protocol: Protocol, split: Split, seeds: Sequence[int]) -> Table:
    """Shares that the masks leave: of the frames, and of the samples with any frame."""
    observe = make_observer(split, seeds)
    body = []
    for condition in protocol.conditions:
        drawn = [observe(condition, seed) for seed in (seeds if condition.random else seeds[:1])]
        cells = []
        for m, valid in split.valid.items():
            frames, has = valid.sum(), valid.any(axis=1).sum()
            seen = np.mean([masks[m].sum() for masks in drawn])
            samples = np.mean([masks[m].any(axis=1).sum() for masks in drawn])
            cells.append(percent(float(seen / frames) if frames else None))
            cells.append(percent(float(samples / has) if has else None))
        body.append([condition.name, *cells])
    heads = [f"{m}: {what}" for m in split.modalities for what in ("frames", "samples")]
    notes = [
        "Observed share of the valid frames, and of the samples that have the modality those of "
        "which any frame is observed; in percent, means over the mask seeds."
    ]
    return Table("What the masks show", ["condition", *heads], body, notes)
