"""Predictions of other programs, made on exported masks: read, checked, put in order.

An .npz has `ids` [n], `conditions` [c], `mask_seeds` [s] and `predictions` [c, s, n], or
[c, s, n, o] for probabilities of o classes or tasks. A CSV has the columns `id`, `condition`,
`mask_seed` and `prediction`, or `prediction_0`, `prediction_1`, ... Both may carry the digest of
the masks: an array `masks_digest`, or a first line `# masks_digest=...`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsrf_jax.errors import DataError
from fsrf_jax.reading.npz import read_npz
from fsrf_jax.reading.text import parse_csv, read_text

KEYS = ("ids", "conditions", "mask_seeds", "predictions")


@dataclass(frozen=True)
class Predictions:
    """What a file holds, in its own order.

    Attributes:
        ids: n of them.
        conditions: c names.
        mask_seeds: s of them.
        values: numbers [c, s, n] or [c, s, n, o].
        digest: of the masks; None if the file does not say.
    """

    ids: Sequence[str]
    conditions: Sequence[str]
    mask_seeds: Sequence[int]
    values: np.ndarray
    digest: str | None


def read_predictions(path: Path) -> Predictions:
    """The predictions of an .npz or .csv file.

    Raises:
        DataError: it cannot be read, a name or row stands there twice, a row is missing, or a
            prediction is no finite number.
    """
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected predictions.")
    if path.suffix not in (".npz", ".csv"):
        raise DataError(f"{path}: found {path.suffix or 'no suffix'}, expected .npz or .csv.")
    found = _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
    for name, values in zip(KEYS, (found.ids, found.conditions, found.mask_seeds), strict=False):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise DataError(f"{path}: {name}: {twice[0]!r} stands there twice, expected once.")
    broken = np.argwhere(~np.isfinite(found.values))
    if len(broken):
        c, s, n = broken[0][:3]
        raise DataError(
            f"{path}: {len(broken)} predictions are NaN or infinite, the first for id "
            f"{found.ids[n]!r}, condition {found.conditions[c]!r}, mask seed "
            f"{found.mask_seeds[s]}; expected finite numbers."
        )
    return found


def align(
    found: Predictions,
    ids: Sequence[str],
    conditions: Sequence[str],
    mask_seeds: Sequence[int],
    outputs: int | None,
    path: Path,
) -> Mapping[tuple[str, int], np.ndarray]:
    """Predictions [n] or [n, o] by condition and mask seed, in the order of the ids.

    Args:
        found: what the file holds, in any order.
        ids: those of the data.
        conditions: names of the protocol's conditions.
        mask_seeds: of the evaluation.
        outputs: number of classes or tasks; None for numbers.
        path: of the file, for messages.

    Raises:
        DataError: something is missing, or there that is not known, or predictions are not of the
            form of the labels.
    """
    width = found.values.shape[3] if found.values.ndim == 4 else None
    if width != outputs:
        forms = [f"{count} probabilities" if count else "one number" for count in (width, outputs)]
        raise DataError(
            f"{path}: predictions: found {forms[0]} for each sample, expected {forms[1]}, as the "
            "labels are."
        )
    for name, given, expected in (
        ("ids", found.ids, ids),
        ("conditions", found.conditions, conditions),
        ("mask_seeds", found.mask_seeds, mask_seeds),
    ):
        _check_same(path, name, given, expected)
    place = {name: index for index, name in enumerate(found.ids)}
    order = np.array([place[name] for name in ids])
    c = {name: index for index, name in enumerate(found.conditions)}
    s = {seed: index for index, seed in enumerate(found.mask_seeds)}
    return {
        (name, seed): found.values[c[name], s[seed]][order]
        for name in conditions
        for seed in mask_seeds
    }


def check_digest(found: Predictions, digest: str, path: Path) -> None:
    """Nothing, if the predictions were made on these masks, or do not say on which.

    Raises:
        DataError: they were made on other masks.
    """
    if found.digest is not None and found.digest != digest:
        raise DataError(
            f"{path}: masks_digest: found {found.digest}, expected {digest}: the predictions were "
            "made on other masks; export the masks of this evaluation with bin/masks."
        )


def _check_same(
    path: Path, name: str, given: Sequence[str | int], expected: Sequence[str | int]
) -> None:
    missing = [value for value in expected if value not in set(given)]
    unknown = [value for value in given if value not in set(expected)]
    if missing:
        raise DataError(
            f"{path}: {name}: found nothing for {len(missing)} of {len(expected)}, the first "
            f"{missing[0]!r}; expected predictions for all."
        )
    if unknown:
        raise DataError(
            f"{path}: {name}: {unknown[0]!r} is unknown here; expected those of the masks alone."
        )


def _read_npz(path: Path) -> Predictions:
    arrays = read_npz(path)
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise DataError(f"{path}: found no array {missing[0]}, expected {', '.join(KEYS)}.")
    values = arrays["predictions"]
    numbers = np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)
    shape = tuple(np.size(arrays[name]) for name in ("conditions", "mask_seeds", "ids"))
    if not numbers or values.shape[:3] != shape or values.ndim not in (3, 4):
        raise DataError(
            f"{path}: predictions: found {values.dtype} {values.shape}, expected numbers of shape "
            f"[conditions, mask_seeds, ids], {shape}, and one more axis for probabilities."
        )
    if not np.issubdtype(arrays["mask_seeds"].dtype, np.integer):
        raise DataError(f"{path}: mask_seeds: found {arrays['mask_seeds'].dtype}, expected int.")
    return Predictions(
        ids=[str(i) for i in arrays["ids"]],
        conditions=[str(c) for c in arrays["conditions"]],
        mask_seeds=[int(s) for s in arrays["mask_seeds"]],
        values=values,
        digest=str(arrays["masks_digest"]) if "masks_digest" in arrays else None,
    )


def _read_csv(path: Path) -> Predictions:
    lines = read_text(path).splitlines()
    digest, first = None, 1
    if lines and lines[0].startswith("#"):
        digest = lines.pop(0).lstrip("# ").removeprefix("masks_digest=").strip()
        first = 2
    header = next(parse_csv(lines[:1], str(path)), [])
    columns = [name for name in header if name not in ("id", "condition", "mask_seed")]
    numbered = [f"prediction_{index}" for index in range(len(columns))]
    if len(columns) != len(header) - 3 or columns not in (["prediction"], numbered):
        raise DataError(
            f"{path}: found the columns {header}, expected id, condition, mask_seed and "
            "prediction, or prediction_0, prediction_1, ..."
        )
    table: dict[tuple[str, int, str], list[float]] = {}
    for number, row in enumerate(parse_csv(lines[1:], str(path)), first + 1):
        if not row:
            continue
        where = f"{path}: line {number}"
        if len(row) != len(header):
            raise DataError(f"{where}: found {len(row)} cells, expected {len(header)}.")
        cells = dict(zip(header, row, strict=True))
        try:
            key = (cells["condition"], int(cells["mask_seed"]), cells["id"])
            values = [float(cells[column]) for column in columns]
        except ValueError as error:
            raise DataError(f"{where}: {error}, expected numbers.") from error
        if key in table:
            raise DataError(f"{where}: the row of {key} stands there twice, expected once.")
        table[key] = values
    if not table:
        raise DataError(f"{path}: found no rows, expected one for each prediction.")
    return _tabled(path, table, digest, columns == ["prediction"])


def _tabled(
    path: Path, table: Mapping[tuple[str, int, str], list[float]], digest: str | None, plain: bool
) -> Predictions:
    """Rows as arrays; every combination of what occurs must be there."""
    conditions = list(dict.fromkeys(condition for condition, _, _ in table))
    seeds = list(dict.fromkeys(seed for _, seed, _ in table))
    ids = list(dict.fromkeys(name for _, _, name in table))
    values = []
    for condition in conditions:
        for seed in seeds:
            for name in ids:
                if (condition, seed, name) not in table:
                    raise DataError(
                        f"{path}: found no row of id {name!r}, condition {condition!r}, mask seed "
                        f"{seed}; expected one for every combination."
                    )
                values.append(table[condition, seed, name])
    found = np.array(values, np.float64).reshape(len(conditions), len(seeds), len(ids), -1)
    return Predictions(ids, conditions, seeds, found[..., 0] if plain else found, digest)
