"""Test masks as a file, so that other programs can be tested on them, and reading it back.

The file is an .npz of plain arrays; axis letters: c condition, s mask seed, n sample, t frame.

| name | what |
|---|---|
| `ids` | str [n] |
| `conditions` | str [c] |
| `mask_seeds` | int64 [s] |
| `modalities` | str [m] |
| `frames` | int64 [m], the padded length t of each modality |
| `lengths_NAME` | int64 [n], valid frames of the modality NAME |
| `valid_NAME` | uint8 [n, ceil(t / 8)], packed bits: which frames are valid |
| `observed_NAME` | uint8 [c, s, n, ceil(t / 8)], packed bits: which frames are observed |
| `protocol` | str, JSON, see `fsrf_jax.evaluation.protocols.files` |
| `split`, `data_fingerprint`, `masks_digest` | str |

`numpy.unpackbits(x, axis=-1, count=t).astype(bool)` unpacks bits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.errors import ConfigError, DataError
from fsrf_jax.evaluation.protocols.files import describe, from_description
from fsrf_jax.evaluation.protocols.masks import Observer, masks_digest
from fsrf_jax.evaluation.protocols.registry import Condition, Protocol
from fsrf_jax.files import replacing
from fsrf_jax.reading.npz import read_npz
from fsrf_jax.reading.text import parse_json


@dataclass(frozen=True)
class MaskFile:
    """The masks of a protocol.

    Attributes:
        protocol: its conditions.
        split: name of the split.
        data_fingerprint: of the data set.
        mask_seeds: seeds of the masks.
        ids: of the samples.
        valid: bool [n, t] per modality.
        observed: packed bits [c, s, n, ceil(t / 8)] per modality.
        digest: of all masks.
    """

    protocol: Protocol
    split: str
    data_fingerprint: str
    mask_seeds: tuple[int, ...]
    ids: tuple[str, ...]
    valid: Mapping[str, np.ndarray]
    observed: Mapping[str, np.ndarray]
    digest: str

    def masks(self, condition: Condition, seed: int) -> Masks:
        """The masks of a condition and mask seed; it is an `Observer`."""
        names = [found.name for found in self.protocol.conditions]
        c, s = names.index(condition.name), self.mask_seeds.index(seed)
        return {m: _unpack(bits[c, s], self.valid[m].shape[1]) for m, bits in self.observed.items()}


def write_masks(
    path: Path,
    protocol: Protocol,
    split: Split,
    mask_seeds: Sequence[int],
    observe: Observer,
    split_name: str,
    data_fingerprint: str,
) -> str:
    """Write the masks of a split under a protocol, and return their digest.

    Args:
        path: the file, replaced as a whole.
        protocol: its conditions.
        split: its ids and validity masks are used.
        mask_seeds: seeds of the masks.
        observe: condition and mask seed to masks.
        split_name: name of the split.
        data_fingerprint: digest of the data, see `fsrf_jax.source.fingerprint`.
    """
    ids, names = [str(i) for i in split.ids], list(split.valid)
    packed: dict[str, list[np.ndarray]] = {m: [] for m in names}
    for condition in protocol.conditions:
        drawn = [observe(condition, seed) for seed in mask_seeds]
        for m in names:
            packed[m].append(np.stack([np.packbits(masks[m], axis=-1) for masks in drawn]))
    digest = masks_digest(protocol.conditions, mask_seeds, ids, split.valid, observe)
    arrays: dict[str, np.ndarray] = {
        "ids": np.array(ids),
        "conditions": np.array([condition.name for condition in protocol.conditions]),
        "mask_seeds": np.array(mask_seeds, np.int64),
        "modalities": np.array(names),
        "frames": np.array([split.valid[m].shape[1] for m in names], np.int64),
        "protocol": np.array(json.dumps(describe(protocol))),
        "split": np.array(split_name),
        "data_fingerprint": np.array(data_fingerprint),
        "masks_digest": np.array(digest),
    }
    for m in names:
        arrays[f"lengths_{m}"] = np.asarray(split.valid[m]).sum(axis=1).astype(np.int64)
        arrays[f"valid_{m}"] = np.packbits(split.valid[m], axis=-1)
        arrays[f"observed_{m}"] = np.stack(packed[m])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return digest


def read_masks(path: Path) -> MaskFile:
    """The masks of a file that `write_masks` made.

    Raises:
        DataError: it is no such file, its arrays do not fit each other, a mask shows what is not
            valid, or the digest is not that of the masks.
    """
    arrays = _load(path)
    modalities = [str(m) for m in arrays["modalities"]]
    ids = tuple(str(i) for i in arrays["ids"])
    if len(set(ids)) != len(ids) or not ids:
        raise DataError(f"{path}: ids: expected one or more ids, each once; export it again.")
    try:
        described = parse_json(str(arrays["protocol"]), str(path), ConfigError)
        protocol = from_description(described, modalities, str(path))
    except ConfigError as error:
        raise DataError(f"{path}: protocol: {error} Export the masks again.") from error
    seeds = tuple(int(seed) for seed in arrays["mask_seeds"])
    c, s, n = len(protocol.conditions), len(seeds), len(ids)
    if len(modalities) != len(arrays["frames"]) or not seeds:
        raise DataError(f"{path}: frames or mask_seeds have no or other values: export it again.")
    valid, observed = {}, {}
    for m, t in zip(modalities, arrays["frames"], strict=True):
        width = -(-int(t) // 8)
        for name, shape in ((f"valid_{m}", (n, width)), (f"observed_{m}", (c, s, n, width))):
            found = arrays[name]
            if found.shape != shape or found.dtype != np.uint8:
                raise DataError(
                    f"{path}: {name}: found {found.dtype} {found.shape}, expected uint8 {shape}: "
                    "export the masks again."
                )
        valid[m], observed[m] = _unpack(arrays[f"valid_{m}"], int(t)), arrays[f"observed_{m}"]
        if not np.array_equal(valid[m].sum(axis=1), arrays[f"lengths_{m}"]):
            raise DataError(f"{path}: lengths_{m}: are not those of valid_{m}: export it again.")
        if np.any(observed[m] & ~arrays[f"valid_{m}"]):
            raise DataError(f"{path}: observed_{m}: shows frames that valid_{m} does not have.")
    digest = str(arrays["masks_digest"])
    file = MaskFile(
        protocol,
        str(arrays["split"]),
        str(arrays["data_fingerprint"]),
        seeds,
        ids,
        valid,
        observed,
        digest,
    )
    found_digest = masks_digest(protocol.conditions, seeds, ids, valid, file.masks)
    if found_digest != digest:
        raise DataError(
            f"{path}: masks_digest: found {digest}, but the masks have {found_digest}: the file is "
            "damaged or was changed; export it again."
        )
    return file


def observer_of(file: MaskFile, split: Split, path: Path) -> Observer:
    """Condition and mask seed to the file's masks, in the order of a split.

    Args:
        file: the masks.
        split: the samples.
        path: of the file, for messages.

    Raises:
        DataError: the file is of other samples, modalities, or frames.
    """
    ids = [str(i) for i in split.ids]
    if set(ids) != set(file.ids):
        only = sorted(set(ids) - set(file.ids)) or sorted(set(file.ids) - set(ids))
        raise DataError(
            f"{path}: ids: found {len(file.ids)} samples, expected the {len(ids)} of the data; "
            f"{only[0]!r} is in one alone: export masks of these data."
        )
    if set(split.valid) != set(file.valid):
        raise DataError(
            f"{path}: modalities: found {', '.join(file.valid)}, expected "
            f"{', '.join(split.valid)}: export masks of these data."
        )
    place = {name: index for index, name in enumerate(file.ids)}
    order = np.array([place[name] for name in ids])
    for m, valid_nt in split.valid.items():
        if not np.array_equal(file.valid[m][order], valid_nt):
            raise DataError(
                f"{path}: valid_{m}: other frames are valid there than in the data: export masks "
                "of these data."
            )

    def observer(condition: Condition, seed: int) -> Masks:
        masks = file.masks(condition, seed)
        return {m: masks[m][order] for m in split.valid}

    return observer


def _load(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file, or a DataError that names what is missing."""
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected masks made by bin/masks.")
    arrays = read_npz(path)
    fixed = ("ids", "conditions", "mask_seeds", "modalities", "frames", "protocol", "split")
    needed = [*fixed, "data_fingerprint", "masks_digest"]
    for m in np.atleast_1d(arrays.get("modalities", np.array([], str))):
        needed += [f"lengths_{m}", f"valid_{m}", f"observed_{m}"]
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DataError(
            f"{path}: found no array {missing[0]}, expected masks made by bin/masks, which have "
            f"{', '.join(needed)}."
        )
    lists = {"ids": "U", "conditions": "U", "mask_seeds": "iu", "modalities": "U", "frames": "iu"}
    for name, kinds in lists.items():
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kinds:
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            raise DataError(f"{path}: {name}: found {found}, expected a list: export it again.")
    return arrays


def _unpack(bits: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(bits, axis=-1, count=count).astype(bool)
