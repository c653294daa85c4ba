"""The folder of an export, read back: what is in it, and the network that it holds.

FOLDER/manifest.json says what it is and takes; FOLDER/config.yaml and FOLDER/weights.safetensors
are all that this package needs to predict again. FOLDER/model.stablehlo and FOLDER/example.py,
which are for others, are not looked at. `export.py` writes all of it; docs/export.md describes it.
"""

import hashlib
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fsrf_jax import arguments, sealed, sharding
from fsrf_jax.config import Config
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.errors import RunError
from fsrf_jax.experiments.experiment import initial_states, make_recipe
from fsrf_jax.experiments.folder import shapes_of
from fsrf_jax.experiments.network import Network
from fsrf_jax.options import split
from fsrf_jax.reading.limits import check_regular, one_message
from fsrf_jax.reading.tensors import read_tensors
from fsrf_jax.reading.text import read_json
from fsrf_jax.source import Shapes
from fsrf_jax.training.loop import member
from fsrf_jax.training.state import Recipe

FORMAT = 1
"""Of the folder."""

PACKAGE = "fsrf-jax"
MANIFEST, CONFIG, WEIGHTS = "manifest.json", "config.yaml", "weights.safetensors"
PROGRAM, EXAMPLE = "model.stablehlo", "example.py"

ANEW = "copy the whole folder again, or make it anew by bin/export"


def is_export(folder: Path) -> bool:
    """Whether the folder is that of an export, whole or not."""
    return any((folder / name).exists() for name in (MANIFEST, WEIGHTS))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What manifest.json holds, if this package can read the export and its files are whole.

    Raises:
        RunError: a file is missing or damaged, or another version of the package wrote them.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RunError(f"{folder}: found no {MANIFEST}, which an export has: {ANEW}.")
    found = read_json(path, RunError)
    if not isinstance(found, dict) or "format" not in found:
        raise RunError(f"{path}: found no format, expected the manifest of an export: {ANEW}.")
    _check_versions(path, found)
    if found.get(sealed.KEY) != manifest_digest(found):
        raise RunError(f"{path}: is damaged, it does not have the digest that it states: {ANEW}.")
    files = found.get("files")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise RunError(f"{folder}: found no {name}, which an export has: {ANEW}.")
        if not isinstance(files, dict) or file_digest(folder / name) != files.get(name):
            raise RunError(
                f"{folder / name}: is damaged, it does not have the digest that {MANIFEST} states: "
                f"{ANEW}."
            )
    return found


def _check_versions(path: Path, manifest: Mapping[str, Any]) -> None:
    maker, here = manifest.get("package"), metadata.version(PACKAGE)
    maker = maker if isinstance(maker, str) else ""
    if manifest["format"] != FORMAT:
        raise RunError(
            f"{path}: found format {manifest['format']!r}, expected {FORMAT}: it was made by "
            f"{PACKAGE} {maker or 'of another version'}, this is {here}; read it by that version, "
            "or export the run again by this one."
        )
    if _numbers(maker) > _numbers(here):
        raise RunError(
            f"{path}: was made by {PACKAGE} {maker}, this is {here}: install that version or a "
            "later one, or export the run again by this one."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release in a version: 0.10.2 of 0.10.2rc1."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says, but for itself and for when the program was made."""
    left_out = (sealed.KEY, "exported_with")
    return sealed.digest({k: v for k, v in manifest.items() if k not in left_out})


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    check_regular(path, RunError)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(folder: Path) -> Config:
    """The config of an export; a path in it is the name of a file alone."""
    return arguments.load(folder / CONFIG)


def open_network(folder: Path) -> Network:
    """The network of an export: it predicts what the network of the run predicts.

    Raises:
        RunError: as `read_manifest`, or the weights are not those of such a network.
        ConfigError: the config cannot be read by this version.
    """
    manifest, config = read_manifest(folder), read_config(folder)
    with one_message(folder / MANIFEST, "a manifest with the shapes of a network", RunError):
        shapes = shapes_of(manifest["shapes"])
        recipe, _ = split(make_recipe(config, shapes))
        empty = _empty(recipe, shapes)
    expected = named_tensors(*empty)
    found = read_tensors(folder / WEIGHTS, RunError)
    for name in sorted(expected.keys() | found.keys()):
        wanted, given = (_kind(tensors.get(name)) for tensors in (expected, found))
        if wanted != given:
            raise RunError(
                f"{folder / WEIGHTS}: expected {name} to be {wanted}, found {given}: the weights "
                f"are of another network, or of other code: {ANEW}."
            )
    tree = jax.tree.map_with_path(lambda path, _: found[_name(path)], _tree(*empty))
    normaliser = Normaliser.from_tree(tree["normaliser"])
    return Network(config, shapes, recipe, sharding.data_mesh(), tree["parameters"], normaliser)


def named_tensors(parameters: Any, normaliser: Normaliser) -> dict[str, Any]:
    """All arrays of a network by the names that they have in the file."""
    leaves = jax.tree.leaves_with_path(_tree(parameters, normaliser))
    named = {_name(path): leaf for path, leaf in leaves}
    if len(named) < len(leaves):
        raise ValueError("two arrays have the same dotted name: rename a modality")
    return named


def _tree(parameters: Any, normaliser: Normaliser) -> dict[str, Any]:
    return {"parameters": parameters, "normaliser": normaliser.to_tree()}


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(str(key.key) for key in path)


def _empty(recipe: Recipe, shapes: Shapes) -> tuple[Any, Normaliser]:
    """The shapes of the parameters, and a normaliser of zeros."""
    numbers = {m: f for m, f in shapes.features.items() if m not in shapes.vocabulary}
    states = jax.eval_shape(lambda: member(initial_states(recipe, shapes, [0]), 0))
    return states.best, Normaliser.shaped(numbers)


def _kind(tensor: Any) -> str:
    """The type and the shape of an array, or of what stands for one, such as `float32[30,40]`."""
    if tensor is None:
        return "absent"
    return f"{np.dtype(tensor.dtype)}[{','.join(map(str, tensor.shape))}]"
