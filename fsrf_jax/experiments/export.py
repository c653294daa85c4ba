"""Writes an export: the network of a run in a folder that lasts, and as a program for others.

`exported.py` says what is in the folder, and reads it; docs/export.md describes it for users.
"""

import dataclasses
import json
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from fsrf_jax import arguments, sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.metrics.classification import task_names
from fsrf_jax.experiments.exported import (
    CONFIG,
    EXAMPLE,
    FORMAT,
    MANIFEST,
    PACKAGE,
    PROGRAM,
    WEIGHTS,
    file_digest,
    manifest_digest,
    named_tensors,
)
from fsrf_jax.experiments.network import Network
from fsrf_jax.experiments.program import export_program
from fsrf_jax.files import new_folder, write_text

VALUE = "raw features as in the training data, not normalised; a frame of zeros is missing"
LENGTH = "number of frames of each sample; later ones are padding; 0: the modality is missing"


def check_new(folder: Path) -> None:
    """Nothing, if an export can be written there.

    Raises:
        RunError: there is something, or no folder to put it in.
    """
    if folder.exists() or folder.is_symlink():
        raise RunError(f"{folder}: exists already; remove it, or choose another name.")
    if not folder.absolute().parent.is_dir():
        raise RunError(f"{folder}: there is no folder to make it in; make that first.")


def write_export(network: Network, folder: Path, fingerprint: str | None) -> None:
    """Write the export of a network; the folder appears whole or not at all.

    Args:
        network: of a run, or of another export.
        folder: must not exist.
        fingerprint: of the data that it was trained on; None: nobody knows.

    Raises:
        RunError: there is something, or no folder to put it in.
    """
    check_new(folder)
    program = export_program(network)
    tensors = named_tensors(network.parameters, network.normaliser)
    arrays = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    example = Path(__file__).with_name("export_example.py").read_text("utf-8")
    with new_folder(folder) as place:
        write_text(place / CONFIG, arguments.to_yaml(without_paths(network.config)))
        (place / WEIGHTS).write_bytes(safetensors.numpy.save(arrays))
        (place / PROGRAM).write_bytes(program.serialize())
        write_text(place / EXAMPLE, example)
        files = {name: file_digest(place / name) for name in (CONFIG, WEIGHTS, PROGRAM, EXAMPLE)}
        manifest = _manifest(network, program, fingerprint) | {"files": files}
        manifest[sealed.KEY] = manifest_digest(manifest)
        write_text(place / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def without_paths(config: Config) -> Config:
    """The config with the names alone of files, and without the folder of the run."""
    data = dataclasses.replace(config.data, path=_file_name(config.data.path))
    protocol = _file_name(config.evaluation.protocol)
    evaluation = dataclasses.replace(config.evaluation, protocol=protocol)
    output = dataclasses.replace(config.output, directory=None)
    method: Any = config.method
    if isinstance(getattr(method, "teacher", None), str):
        method = dataclasses.replace(method, teacher=_file_name(method.teacher))
    changes = {"data": data, "evaluation": evaluation, "output": output, "method": method}
    return dataclasses.replace(config, **changes)


def _file_name(path: Any) -> Any:
    return None if path is None else Path(path).name


def _manifest(
    network: Network, program: jax.export.Exported, fingerprint: str | None
) -> dict[str, Any]:
    """What manifest.json says, but for digests."""
    config, shapes = network.config, network.shapes
    packages = ("jax", "jaxlib", "flax", "numpy", "safetensors")
    return {
        "format": FORMAT,
        "package": metadata.version(PACKAGE),
        "versions": {package: metadata.version(package) for package in packages},
        "exported_with": {"jax": jax.__version__, "date": date.today().isoformat()},
        "platforms": list(program.platforms),
        "method": config.method.name,
        "modalities": {
            m: {"vocabulary": shapes.vocabulary[m]}
            if m in shapes.vocabulary
            else {"features": width}
            for m, width in shapes.features.items()
        },
        "inputs": _inputs(program, network),
        "outputs": _outputs(program, network),
        "label_shift": config.data.label_shift,
        "clip": network.normaliser.clip,
        "bad_values": config.data.bad_values,
        "shapes": dataclasses.asdict(shapes),
        "data_fingerprint": fingerprint,
    }


def _inputs(program: jax.export.Exported, network: Network) -> dict[str, Any]:
    """The two arguments of the program, by modality."""
    (features, lengths), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    vocabulary = network.shapes.vocabulary
    ids = {m: f"token ids below {count}; 0 is padding" for m, count in vocabulary.items()}
    return {
        "features": {m: _array(aval, ids.get(m, VALUE)) for m, aval in features.items()},
        "lengths": {m: _array(aval, LENGTH) for m, aval in lengths.items()},
    }


def _outputs(program: jax.export.Exported, network: Network) -> dict[str, Any]:
    """What the program gives, by name, and what it means."""
    task, shapes, config = network.recipe.task, network.shapes, network.config
    names: tuple[str, ...] = ()
    scale = "on the scale of the training labels"
    if config.data.label_shift:
        scale += f", which were shifted by {config.data.label_shift:g}"
    what = {"values": f"numbers {scale}", "std": "standard deviations of the numbers"}
    if task.form == "class":
        names = shapes.classes or tuple(map(str, range(shapes.outputs)))
        what["values"] = "probabilities of the classes"
    elif task.form == "binary":
        names = config.data.tasks or task_names(np.zeros((0, shapes.outputs)))
        what["values"] = "probability that each task's label is 1"
    found = jax.tree.unflatten(program.out_tree, program.out_avals)
    described = {name: _array(aval, what[name]) for name, aval in found.items()}
    described["values"] |= {"names": list(names)} if names else {}
    return described


def _array(aval: Any, what: str) -> dict[str, Any]:
    """Shape, with names of the axes that may be of any length, type and meaning of an array."""
    shape = [size if isinstance(size, int) else str(size) for size in aval.shape]
    return {"shape": shape, "dtype": str(aval.dtype), "what": what}
