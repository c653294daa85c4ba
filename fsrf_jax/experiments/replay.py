"""A bad step kept on its own, RUN/bad-step.npz, and what of it went wrong first.

The file is an archive of arrays: `header`, which is JSON, the training state before the step as
`state/PATH`, the rows of the batch as `batch/PATH`, the teacher's parameters as `teacher/PATH`, the
observation mask of each view as `views/NUMBER/MODALITY`, and each term as `terms/NAME`. Neither the
data nor the run is needed to repeat the step.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from fsrf_jax import arguments
from fsrf_jax.data.names import first_of
from fsrf_jax.errors import RunError, UserError
from fsrf_jax.experiments.experiment import Experiment, initial_states, make_recipe
from fsrf_jax.experiments.folder import shapes_of
from fsrf_jax.files import replacing
from fsrf_jax.inference import example_batch
from fsrf_jax.methods import Parameters
from fsrf_jax.options import Hyper, split
from fsrf_jax.reading.npz import read_npz
from fsrf_jax.reading.text import parse_json
from fsrf_jax.training.bad_steps import BadSteps, first_bad
from fsrf_jax.training.frozen import named_leaves
from fsrf_jax.training.loop import member
from fsrf_jax.training.origin import Origin, origins
from fsrf_jax.training.state import Recipe, TrainState
from fsrf_jax.training.step import (
    epoch_order,
    proposed_update,
    rows_of_step,
    step_views,
)
from fsrf_jax.types import Batch

NAME = "bad-step.npz"
VERSION = 1


class Dump(NamedTuple):
    """A step, ready to be repeated; `ids` are those of the batch's first rows."""

    epoch: int
    step: int
    ids: list[str]
    terms: dict[str, float]
    recipe: Recipe
    hyper: Hyper
    state: TrainState
    batch: Batch
    teacher: Any


def write_dump(
    path: Path,
    run: Experiment,
    stopped: BadSteps,
    rows: Callable[[np.ndarray], Batch],
    teacher: Any,
) -> None:
    """Keep the step that a training stopped at.

    Args:
        path: of the file.
        run: of the member that it was.
        stopped: what the loop raised.
        rows: gives the normalised training samples of some numbers, see `step.take`.
        teacher: its inference parameters, or None.

    Raises:
        WriteError: it cannot be written.
    """
    recipe, state, steps = run.recipe, stopped.state, run.recipe.steps_per_epoch
    ids = run.source.split("train").ids
    wide = rows_of_step(recipe, len(ids))
    step = int(state.step) % steps
    numbers = np.asarray(epoch_order(state, len(ids), steps, wide)[step])
    batch = rows(numbers)
    views, _ = step_views(recipe, state, batch)
    header = {
        "version": VERSION,
        "config": arguments.to_mapping(run.config),
        "shapes": dataclasses.asdict(run.shapes),
        "epoch": int(state.step) // steps + 1,
        "step": step + 1,
        "ids": [str(ids[number]) for number in numbers if number >= 0],
    }
    arrays = {
        "header": np.asarray(json.dumps(header)),
        **_named("state", state),
        **_named("batch", batch),
        **_named("teacher", teacher),
        **_named("views", views),
        **_named("terms", stopped.terms),
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_dump(path: Path) -> Dump:
    """A step that `write_dump` kept.

    Raises:
        RunError: the file is none, is damaged, or is of another version.
    """
    arrays = read_npz(path, RunError)
    if arrays.get("header", np.zeros(1)).dtype.kind != "U":
        raise RunError(f"{path}: has no header, expected a file {NAME} of a run that stopped.")
    header = parse_json(str(arrays["header"]), f"{path}: header", RunError)
    version = header.get("version") if isinstance(header, dict) else None
    if version != VERSION:
        raise RunError(
            f"{path}: found version {version}, expected {VERSION}: replay it with the version of "
            "this package that wrote it."
        )
    try:
        config, shapes = arguments.load(header["config"]), shapes_of(header["shapes"])
        recipe, hyper = split(make_recipe(config, shapes))
        state = jax.eval_shape(lambda: member(initial_states(recipe, shapes, [0]), 0))
        columns = shapes.outputs if recipe.task.form == "binary" else 0
        example = example_batch(shapes.frames, shapes.features, shapes.vocabulary, columns)
        rows = arrays["batch/weights"].shape[0]
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), example)
        terms = {name: float(value) for name, value in _below("terms", arrays).items()}
        where = int(header["epoch"]), int(header["step"])
        return Dump(
            *where,
            [str(i) for i in header["ids"]],
            terms,
            recipe,
            hyper,
            _like("state", state, arrays),
            _like("batch", batch, arrays),
            _nested(_below("teacher", arrays)),
        )
    except (UserError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: is damaged, or of another version of this package: {error}. Replay it with "
            "the version that wrote it, or train on until it is written again."
        ) from error


def replay(path: Path) -> list[str]:
    """Repeat a step that was kept, and say line by line what went wrong in it.

    Raises:
        RunError: see `read_dump`.
    """
    dump = read_dump(path)
    given = {
        "state": dump.state,
        "batch": dump.batch,
        "numbers": dump.hyper,
        "teacher": dump.teacher,
    }

    def update(state: TrainState, *others: Any) -> tuple[dict[str, jax.Array], Parameters]:
        terms, updates, _ = proposed_update(dump.recipe, state, *others)
        return terms, optax.apply_updates(state.parameters, updates)

    terms, new = jax.jit(update)(*given.values())
    found = {name: float(value) for name, value in terms.items()}
    finite = all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves((terms, new)))
    lines = [
        f"epoch {dump.epoch}, step {dump.step}: {len(dump.ids)} samples",
        f"then: {first_bad(dump.terms)}",
        f"now: {'everything is finite' if finite else first_bad(found)}",
        *(f"  {name}: {value:g}" for name, value in found.items()),
    ]
    origin = _first_origin(origins(update, given), terms, new)
    if origin is None:
        return [
            *lines,
            "Operation by operation everything is finite: it depends on how the step is compiled, "
            "so values are near the largest number there is. Lower optimizer.learning_rate.",
        ]
    return [*lines, *_described(origin, dump)]


def _first_origin(found: list[Origin | None], terms: Any, new: Any) -> Origin | None:
    """Where the first bad term comes from; without one, the first bad parameter."""
    structure = jax.tree.structure((terms, new))
    by_term, parameters = jax.tree.unflatten(structure, [(one,) for one in found])
    named = {name: one[0] for name, one in by_term.items()}
    late = ("total", "gradient_norm")
    ordered = [*(named[n] for n in sorted(named) if n not in late), *(named[n] for n in late)]
    leaves = jax.tree.leaves(parameters)
    return next((one for one in [*ordered, *leaves] if one is not None), None)


def _described(origin: Origin, dump: Dump) -> list[str]:
    first = origin.first()
    if not first.where:
        lines = [f"first: the step was given NaN or an infinity in {first.what}"]
        kind, _, rest = first.what.partition(".")
        if kind == "batch":
            rows = np.asarray(named_leaves(dump.batch)[rest])
            bad = [i for i, x in zip(dump.ids, rows, strict=False) if not np.isfinite(x).all()]
            lines += [f"  of the samples {first_of(bad)}"]
        return lines
    gave = "NaN" if first.nan else "an infinity"
    backward = " (in the backward pass of this line)" if first.backward else ""
    return [f"first: the operation {first.what} gave {gave}", f"  at {first.where}{backward}"]


def _named(kind: str, tree: Any) -> dict[str, np.ndarray]:
    """Every array of a pytree by its path; a key as its numbers."""

    def plain(leaf: Any) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    tree = jax.tree.map(lambda x: x if hasattr(x, "dtype") else np.asarray(x), tree)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {f"{kind}/{_path(path)}": plain(leaf) for path, leaf in leaves}


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _below(kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = f"{kind}/"
    return {n.removeprefix(start): x for n, x in arrays.items() if n.startswith(start)}


def _like(kind: str, wanted: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The pytree that `wanted` gives the shapes of."""
    found = _below(kind, arrays)

    def leaf(path: Any, like: Any) -> Any:
        name = _path(path)
        value = found[name]
        is_key = jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key)
        if is_key:
            return jax.random.wrap_key_data(jax.numpy.asarray(value))
        if (value.shape, value.dtype) != (like.shape, like.dtype):
            there, here = f"{value.dtype}{list(value.shape)}", f"{like.dtype}{list(like.shape)}"
            raise ValueError(f"found {there} of {kind}/{name}, expected {here}")
        return jax.numpy.asarray(value)

    return jax.tree_util.tree_map_with_path(leaf, wanted)


def _nested(found: Mapping[str, np.ndarray]) -> Any:
    """Dictionaries inside dictionaries, of arrays by path; None without any."""
    tree: dict[str, Any] = {}
    for path, value in found.items():
        *above, name = path.split("/")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = jax.numpy.asarray(value)
    return tree or None
