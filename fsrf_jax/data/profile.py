"""What a data set holds, and what is odd about it, in numbers; the words are `reporting.profile`'s.

Everything is plain, to be written as JSON. Columns of a kind are {count, first}: how many there
are, and the numbers of the first ones, from 0.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.lazy import Lazy
from fsrf_jax.data.names import FEW, SPLITS
from fsrf_jax.data.normalise import frames_of, moments
from fsrf_jax.data.overlaps import Overlap

VERSION = 1
LARGE = 1e4  # a column with a larger absolute value is extreme
COARSE = 0.01  # and so is one that float32 rounds by more of its standard deviation
FAR = 3.0  # a length is an outlier if it is so many interquartile ranges from the quartiles
SIDE = 0.01  # padding is at an end if it is there in so many of the samples
RELEASES: dict[tuple[int, ...], str] = {
    (1284, 229, 686): "CMU-MOSI",
    (1283, 214, 686): "CMU-MOSI",
    (16326, 1871, 4659): "CMU-MOSEI",
    (1368, 456, 457): "CH-SIMS",
}
_MOST_NAMES = 10  # labels with more values than this are numbers
_BINS = 20


def profile(
    dataset: Dataset,
    raw: Dataset,
    shared: Iterable[Overlap] = (),
    step: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Everything that `prepare` reports.

    Args:
        dataset: clean.
        raw: what it was before it was cleaned, for the shares of frames that are zero, NaN or
            infinite.
        shared: what `fsrf_jax.data.overlaps` found.
        step: is called with what is looked at next.

    Returns:
        `version`; `release`, the published data set that has as many samples, or None; `aligned`,
        whether the modalities of every sample are valid in the same frames; `labels`, see
        `label_counts`; `length_edges`, bins of lengths by modality; `splits`, by name: samples,
        groups, label_mean, label_range, and by modality what `shape` gives, length_counts, the
        shares zero, nan and infinite of the valid frames, and columns: constant, large (see
        `LARGE`), coarse (see `COARSE`), and constant_in_train, those that have one value there and
        another here (none of token ids); and `overlaps`.
    """
    splits = dataset.splits
    train, edges, ranges = splits.get("train"), {}, {}
    for m in next(iter(splits.values())).modalities:
        longest = max(split.features[m].shape[1] for split in splits.values())
        width = -(-longest // _BINS)
        edges[m] = (np.arange(0, longest + width, width) + 0.5).tolist()
        ranges[m] = None if train is None else _range(train.features[m], train.present[m])
    found: dict[str, Any] = {}
    for name, split in splits.items():
        modalities = {}
        for m, x in split.features.items():
            step(f"checking {name} {m}")
            present = split.present[m] & (m not in dataset.tokens)  # whose numbers are no values
            modalities[m] = {
                **shape(split, m),
                "length_counts": np.histogram(_lengths(split, m), edges[m])[0].tolist(),
                **_bad_frames(raw.splits[name].features[m], raw.splits[name].valid[m]),
                **_columns(x, present, ranges[m]),
            }
        found[name] = {
            "samples": len(split),
            "groups": None if split.groups is None else len(np.unique(split.groups)),
            "label_mean": float(split.labels.mean(dtype=np.float64)),
            "label_range": [float(split.labels.min()), float(split.labels.max())],
            "modalities": modalities,
        }
    counts = tuple(len(splits[name]) if name in splits else 0 for name in SPLITS)
    return {
        "version": VERSION,
        "release": RELEASES.get(counts),
        "aligned": all(_aligned(split) for split in splits.values()),
        "labels": label_counts(dataset),
        "length_edges": edges,
        "splits": found,
        "overlaps": [asdict(overlap) for overlap in shared],
    }


def _lengths(split: Split, m: str) -> np.ndarray:
    """Valid frames of the samples that have the modality."""
    return split.valid[m][split.present[m].any(axis=1)].sum(axis=1)


def _aligned(split: Split) -> bool:
    """Whether the modalities that a sample has are valid in the same frames."""
    if len({valid.shape for valid in split.valid.values()}) > 1:
        return False
    union = np.any(list(split.valid.values()), axis=0)
    has = {m: valid.any(axis=1) for m, valid in split.valid.items()}
    return all(np.array_equal(v[has[m]], union[has[m]]) for m, v in split.valid.items())


def shape(split: Split, m: str) -> dict[str, Any]:
    """Samples and frames of a modality.

    Returns:
        `samples` that have a frame, `width` of a frame, `padded_length`, `frames` that are present
        in all, `padding` (front, back, both or none), `lengths` of those samples in valid frames
        (least, quartiles, most; empty without samples), and how many of them are `outliers`, see
        `FAR`.
    """
    _, t, width = split.features[m].shape
    lengths = _lengths(split, m)
    outliers, quartiles = 0, []
    if len(lengths):
        quartiles = np.percentile(lengths, [0, 25, 50, 75, 100]).tolist()
        _, low, _, high, _ = quartiles
        far = FAR * (high - low)
        outliers = int(((lengths < low - far) | (lengths > high + far)).sum())
    valid = split.valid[m][split.present[m].any(axis=1)]
    ends = {"front": valid[:, 0], "back": valid[:, t - 1]}
    sides = [end for end, there in ends.items() if (~there).sum() > SIDE * len(lengths)]
    return {
        "samples": len(lengths),
        "width": width,
        "padded_length": t,
        "frames": int(split.present[m].sum()),
        "padding": "both" if len(sides) == 2 else (*sides, "none")[0],
        "lengths": quartiles,
        "outliers": outliers,
    }


def label_counts(dataset: Dataset) -> dict[str, Any]:
    """How often labels occur in each split.

    Returns:
        `tasks`: whether the labels are tasks; `names` of classes, of tasks, or of whole numbers
        where they are few, else empty; `edges` of bins where the labels are numbers, else empty;
        and `counts` by split, of each name (of a task the positive labels) or bin.
    """
    labels = {name: split.labels for name, split in dataset.splits.items()}
    values = np.unique(np.concatenate([y.ravel() for y in labels.values()]))
    tasks = next(iter(labels.values())).ndim == 2
    names: list[str] = []
    edges: list[float] = []
    if tasks:
        counts = {name: (y > 0).sum(axis=0) for name, y in labels.items()}
        names = [f"task{i}" for i in range(len(next(iter(counts.values()))))]
    elif dataset.classes or (len(values) <= _MOST_NAMES and (values == np.floor(values)).all()):
        values = np.arange(len(dataset.classes)) if dataset.classes else values
        names = list(dataset.classes) or [f"{value:g}" for value in values]
        counts = {n: (y[:, None] == values[None]).sum(axis=0) for n, y in labels.items()}
    else:
        edges = np.linspace(values[0], max(values[-1], values[0] + 1e-6), _BINS + 1).tolist()
        counts = {name: np.histogram(y, edges)[0] for name, y in labels.items()}
    return {
        "tasks": tasks,
        "names": names,
        "edges": edges,
        "counts": {name: found.tolist() for name, found in counts.items()},
    }


def _bad_frames(x: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Shares of the valid frames, of features [n, t, f] or [n, f] as a file has them."""
    if not isinstance(x, Lazy):
        x = np.asarray(x).reshape(len(x), -1, np.shape(x)[-1])
    counts = {"zero": 0, "nan": 0, "infinite": 0}
    for frames in frames_of(x, np.asarray(valid, bool)):
        with np.errstate(over="ignore"):
            narrow = frames.astype(np.float32)
        counts["zero"] += int((frames == 0).all(axis=1).sum())
        counts["nan"] += int(np.isnan(narrow).any(axis=1).sum())
        counts["infinite"] += int(np.isinf(narrow).any(axis=1).sum())
    return {kind: count / max(1, int(np.sum(valid))) for kind, count in counts.items()}


def _range(x: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value of every column in the frames; inf and -inf without any."""
    low, high = np.full(x.shape[2], np.inf), np.full(x.shape[2], -np.inf)
    for frames in frames_of(x, present):
        np.minimum(low, frames.min(axis=0, initial=np.inf), out=low)
        np.maximum(high, frames.max(axis=0, initial=-np.inf), out=high)
    return low, high


def _columns(
    x: np.ndarray, present: np.ndarray, train: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, Any]:
    """Columns of each kind, in a modality of some width; none where there is no frame."""
    kinds = dict.fromkeys(("constant", "large", "coarse", "constant_in_train"), np.zeros(0, bool))
    if present.any():
        low, high = _range(x, present)
        largest, deviation = np.maximum(-low, high), moments(x, present)[1]
        kinds["constant"] = low == high
        kinds["large"] = largest > LARGE
        kinds["coarse"] = (low < high) & (np.finfo("f4").eps * largest > COARSE * deviation)
        if train is not None:
            one = train[0] == train[1]
            kinds["constant_in_train"] = one & ((low != train[0]) | (high != train[0]))
    return {
        kind: {"count": int(found.sum()), "first": np.flatnonzero(found)[:FEW].tolist()}
        for kind, found in kinds.items()
    }
