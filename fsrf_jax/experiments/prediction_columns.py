"""Predictions, codes and explanations of some samples as named columns [n] or [n, ..] of a file."""

from collections.abc import Sequence

import numpy as np

from fsrf_jax.experiments.explain import Explanation
from fsrf_jax.experiments.network import Network, Prediction
from fsrf_jax.types import Codes

CODES = ("pooled", "homogeneous", "heterogeneous", "noise")


def output_names(network: Network) -> tuple[str, ...]:
    """Names of the classes or tasks that probabilities are of; none for numbers."""
    form, outputs = network.recipe.task.form, network.shapes.outputs
    if form == "number":
        return ()
    if form == "binary":
        return network.config.data.tasks or tuple(f"task{i}" for i in range(outputs))
    return network.shapes.classes or tuple(str(i) for i in range(outputs))


def prediction_columns(network: Network, found: Prediction) -> dict[str, np.ndarray]:
    """What was predicted, what was seen, and the codes if there are any."""
    columns: dict[str, np.ndarray] = {}
    names = output_names(network)
    if names:
        columns |= {f"prediction_{name}": found.values[:, i] for i, name in enumerate(names)}
    else:
        columns["prediction"] = found.values
    if found.std is not None:
        columns["std"] = found.std
    columns |= {f"observed_{m}": share for m, share in found.observed.items()}
    if found.codes is not None:
        columns |= _codes(found.codes)
    return columns


def _codes(codes: Codes) -> dict[str, np.ndarray]:
    given = {name: getattr(codes, name) for name in CODES}
    columns = {
        f"{name}_{m}": np.asarray(x[i])
        for name, x in given.items()
        if x is not None
        for i, m in enumerate(codes.modalities)
    }
    return columns if codes.fused is None else {**columns, "fused": np.asarray(codes.fused)}


def explained_columns(
    network: Network, found: Prediction, explanation: Explanation, *, lists: bool
) -> dict[str, np.ndarray]:
    """What the predictions owe to modalities and frames; of every frame only with `lists`."""
    names = output_names(network)
    columns = _by_name("nothing", explanation.nothing, names)
    for m, x in explanation.shapley.items():
        columns |= _by_name(f"shapley_{m}", x, names)
    for m, x in explanation.occlusion.items():
        of_prediction = _of_prediction(x, found.values, network.recipe.task.form)
        frame = np.abs(of_prediction).argmax(axis=1)
        change = np.take_along_axis(of_prediction, frame[:, None], axis=1)[:, 0]
        columns[f"frame_{m}"] = np.where(change != 0, frame, -1)
        columns[f"change_{m}"] = change.astype(np.float32)
        if lists:
            columns[f"occlusion_{m}"] = of_prediction.astype(np.float32)
    return columns


def _by_name(start: str, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    x = x.astype(np.float32)
    if not names:
        return {start: x}
    return {f"{start}_{name}": x[:, i] for i, name in enumerate(names)}


def _of_prediction(occlusion: np.ndarray, values: np.ndarray, form: str) -> np.ndarray:
    """[n, t]: of a number; of the likeliest class; of the task that the frame matters most to."""
    if form == "number":
        return occlusion
    if form == "class":
        return np.take_along_axis(occlusion, values.argmax(axis=1)[:, None, None], axis=2)[:, :, 0]
    task = np.abs(occlusion).argmax(axis=2)
    return np.take_along_axis(occlusion, task[:, :, None], axis=2)[:, :, 0]


def shapley_of_prediction(
    network: Network, found: Prediction, explanation: Explanation
) -> dict[str, np.ndarray]:
    """Shapley values [n] by modality: of numbers, of the likeliest class, of one task."""
    form = network.recipe.task.form
    of_frame = {m: x[:, None] for m, x in explanation.shapley.items()}
    return {m: _of_prediction(x, found.values, form)[:, 0] for m, x in of_frame.items()}
