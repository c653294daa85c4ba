"""A short YAML file that tells which keys of an .npz or HDF5 file hold what.

    file: features.npz                      # next to this file
    splits: {train: tr, valid: dev, test: te}    # the name here: the name in the file
    label: "{split}_y"
    id: "{split}_names"                     # id, group and lengths may be left out
    group: "{split}_speaker"
    modalities: {language: "{split}_text", audio: "{split}_wav"}
    lengths: {audio: "{split}_frames"}

Groups of HDF5 count as `a_b` or `a/b`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data.assemble import Raw, assemble, no_modality
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import arrays, folders
from fsrf_jax.data.names import hint, listed, not_read
from fsrf_jax.errors import DataError
from fsrf_jax.reading.text import read_yaml

_KEYS = {"file": str, "splits": dict, "label": str, "modalities": dict}
_OPTIONAL = {"id": str, "group": str, "lengths": dict}


def recognises(path: Path) -> bool:
    """Whether the file is named as YAML."""
    return path.is_file() and path.suffix in (".yaml", ".yml")


def read(path: Path, modalities: tuple[str, ...], labelled: bool = True) -> Dataset:
    """Read what a YAML file points to.

    Args:
        path: the YAML file.
        modalities: names of the modalities to read, as the YAML file names them.
        labelled: False: labels are not looked for, and are 0.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the YAML file has other keys, or the file that it names lacks one of them.
    """
    path = Path(path)
    spec = _spec(path, labelled)
    for modality in modalities:
        if modality not in spec["modalities"]:
            raise no_modality(path, modality, spec["modalities"])
    file = folders.inside(path.parent, spec["file"])
    if not file.is_file():
        raise DataError(f"{path}: no file {file}; expected that of 'file', next to the YAML file")
    with arrays.opened(file) as found:

        def value(pattern: str | None, split: str) -> Any:
            if pattern is None:
                return None
            key = pattern.replace("{split}", str(spec["splits"][split])).replace("/", "_")
            if key not in found:
                raise DataError(
                    f"{path}: {file.name} has no {key!r} ({pattern!r} of split {split!r}); "
                    f"found {listed(found)}{hint(key, found)}"
                )
            return found[key]

        def split(name: str) -> Raw:
            counted = {m: key for m, key in spec["lengths"].items() if m in modalities}
            features = {m: value(spec["modalities"][m], name) for m in modalities}
            n = len(next(iter(features.values())))
            return Raw(
                labels=value(spec["label"], name) if labelled else np.zeros(n, np.float32),
                features=features,
                lengths={m: (key, value(key, name)) for m, key in counted.items()},
                ids=value(spec.get("id"), name),
                groups=value(spec.get("group"), name),
            )

        notes = not_read(spec["modalities"], modalities)
        return assemble(path, spec["splits"], split, modalities, notes)


def _spec(path: Path, labelled: bool) -> Mapping[str, Any]:
    """The content of the YAML file, checked."""
    spec = read_yaml(path)
    known = {**_KEYS, **_OPTIONAL}
    needed = {key for key in _KEYS if labelled or key != "label"}
    if not isinstance(spec, dict) or not needed <= spec.keys() <= known.keys():
        raise DataError(
            f"{path} has {listed(map(str, spec)) if isinstance(spec, dict) else repr(spec)[:80]}; "
            f"expected {listed(_KEYS)}, and {listed(_OPTIONAL)} where there are any"
        )
    for key, kind in known.items():
        content = spec.get(key, kind())
        strings = content.values() if isinstance(content, dict) else [content]
        if not isinstance(content, kind) or not all(isinstance(s, str) for s in strings):
            raise DataError(
                f"{path}: {key} is {content!r}; expected "
                + ("a name for each" if kind is dict else "a name")
            )
    return {"lengths": {}, **spec}
