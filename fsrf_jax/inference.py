"""Rows in, predictions or codes out: any number of rows, any method, any number of devices.

Rows are taken in chunks of one size, so a program is compiled once for a data set's shapes. All
programs are shared by runs that differ in numbers alone: of a method only the static part is used,
see `fsrf_jax.options.split`. `inference` are a method's inference parameters; `mesh` are the
devices that rows are spread over, and None leaves them together.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fsrf_jax import sharding
from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.errors import NoCodesError, UserError
from fsrf_jax.methods.method import Method, Setting
from fsrf_jax.types import Batch, ByModality, Codes, View

Tree = TypeVar("Tree")


Encoder = Callable[[Masks], Codes]
"""Observed masks to codes as NumPy arrays."""


class Gaussian(NamedTuple):
    """Predicted numbers that say how sure they are: each array is float [n]."""

    mean: np.ndarray
    log_variance: np.ndarray


def make_batch(split: Split) -> Batch:
    """A whole, normalised split as one batch."""
    return Batch(
        features={m: jnp.asarray(np.asarray(x)) for m, x in split.features.items()},
        valid={m: jnp.asarray(v) for m, v in split.valid.items()},
        present={m: jnp.asarray(p) for m, p in split.present.items()},
        labels=jnp.asarray(split.labels, jnp.float32),
        weights=jnp.ones(len(split), jnp.float32),
    )


def example_batch(
    frames: Mapping[str, int], features: Mapping[str, int], tokens: Container[str], labels: int
) -> Batch:
    """One row of zeros, for parameters to be drawn that fit batches of these shapes.

    Args:
        frames: padded length of each modality.
        features: their number, by modality.
        tokens: modalities that are token ids.
        labels: columns of them; 0 for a number or a class.
    """
    seen = {m: jnp.ones((1, t), bool) for m, t in frames.items()}
    return Batch(
        features={
            m: jnp.zeros((1, t, features[m]), jnp.int32 if m in tokens else jnp.float32)
            for m, t in frames.items()
        },
        valid=seen,
        present=dict(seen),
        labels=jnp.zeros((1, labels) if labels else 1),
        weights=jnp.ones(1),
    )


def map_rows(
    function: Callable[..., Tree],
    mesh: Mesh | None,
    inputs: Any,
    batch_size: int,
    axes: Any = 0,
) -> Tree:
    """A function of rows for any number of rows n, `batch_size` at a time; traceable.

    Args:
        function: a pytree of arrays with b rows to another.
        mesh: see the module.
        inputs: the same pytree, with n rows.
        batch_size: rows at a time, rounded up, see `sharding.padded_rows`.
        axes: where the rows are in what the function gives: one axis, or a pytree of axes.
    """
    n = jax.tree.leaves(inputs)[0].shape[0]
    rows = sharding.padded_rows(min(batch_size, n))
    chunks = -(-n // rows)

    def chunk(index_b: jax.Array) -> Tree:
        index_b = jnp.minimum(index_b, n - 1)
        taken = jax.tree.map(lambda x: x[index_b], inputs)
        return function(sharding.split_rows(taken, mesh))

    def joined(x: jax.Array, axis: int) -> jax.Array:
        """[chunks, .., rows, ..] to [.., n, ..]."""
        x = jnp.moveaxis(x, 0, axis)
        x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
        return jax.lax.slice_in_dim(x, 0, n, axis=axis)

    mapped = jax.lax.map(chunk, jnp.arange(chunks * rows).reshape(chunks, rows))
    if isinstance(axes, int):
        return jax.tree.map(partial(joined, axis=axes), mapped)
    return jax.tree.map(joined, mapped, axes)


def predict_rows(
    method: Method,
    setting: Setting,
    mesh: Mesh | None,
    inference: Any,
    batch: Batch,
    observed: ByModality,
    batch_size: int,
) -> jax.Array:
    """`Method.predict` for n samples, [n] or [n, o]; traceable; `observed` is bool [n, t]."""
    predict = partial(method.predict, setting, inference)
    return map_rows(predict, mesh, View(batch.features, batch.valid, observed), batch_size)


_predict = jax.jit(predict_rows, static_argnames=("method", "setting", "mesh", "batch_size"))


@jax.jit(static_argnames=("method", "setting", "mesh", "batch_size"))
def _encode(
    method: Method,
    setting: Setting,
    mesh: Mesh,
    inference: Any,
    batch: Batch,
    observed: ByModality,
    batch_size: int,
) -> Codes | None:
    view = View(batch.features, batch.valid, observed)
    encode = partial(method.codes, setting, inference)
    shapes = jax.eval_shape(encode, view)
    if shapes is None:
        return None
    axes = jax.tree.map(lambda _: 1, shapes)  # [m, b] and [m, b, d]
    if shapes.fused is not None:
        axes = axes.replace(fused=0)  # [b, d]
    return map_rows(encode, mesh, view, batch_size, axes)


def make_predictor(
    method: Method, setting: Setting, mesh: Mesh, inference: Any, split: Split, batch_size: int
) -> Callable[[Masks], np.ndarray | Gaussian]:
    """Observed masks to predictions for a normalised split, on all devices of the mesh.

    They are numbers [n], a `Gaussian`, or probabilities of classes or binary tasks [n, o].
    """
    batch, inference = sharding.replicate((make_batch(split), inference), mesh)

    def predictor(observed: Masks) -> np.ndarray | Gaussian:
        masks = _on_devices(observed, mesh)
        found = np.asarray(_predict(method, setting, mesh, inference, batch, masks, batch_size))
        gaussian = setting.task.kind == "gaussian"
        return Gaussian(found[:, 0], found[:, 1]) if gaussian else found

    return predictor


def predict_in_parts(
    method: Method,
    setting: Setting,
    mesh: Mesh,
    inference: Any,
    split: Split,
    masks: Sequence[Masks],
    batch_size: int,
) -> list[np.ndarray | Gaussian]:
    """What `make_predictor` predicts, under each of the masks, of samples the device cannot hold.

    They are read once, and given to the device some at a time.
    """
    inference = sharding.replicate(inference, mesh)
    rows = sharding.padded_rows(min(batch_size, len(split)))
    found: list[list[np.ndarray | Gaussian]] = [[] for _ in masks]
    for chosen, part in split.parts(rows):
        predict = make_predictor(method, setting, mesh, inference, part, batch_size)
        for predictions, mask in zip(found, masks, strict=True):
            predictions.append(predict({m: mask[m][chosen] for m in mask}))
    return [_joined(predictions) for predictions in found]


def _joined(parts: Sequence[np.ndarray | Gaussian]) -> np.ndarray | Gaussian:
    if isinstance(parts[0], Gaussian):
        return Gaussian(*(np.concatenate(x) for x in zip(*parts, strict=True)))
    return np.concatenate(parts)


def make_encoder(
    method: Method, setting: Setting, mesh: Mesh, inference: Any, split: Split, batch_size: int
) -> Encoder:
    """Observed masks to the codes of a normalised split, without dropout; NumPy arrays.

    The function given raises NoCodesError if the method has no codes, and UserError if one is not
    finite.
    """
    batch, inference = sharding.replicate((make_batch(split), inference), mesh)

    def encoder(observed: Masks) -> Codes:
        masks = _on_devices(observed, mesh)
        found = _encode(method, setting, mesh, inference, batch, masks, batch_size)
        if found is None:
            raise NoCodesError(
                f"The method {method.name} has no codes: there is nothing to measure."
            )
        codes = jax.tree.map(np.asarray, found)
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(codes)):
            raise UserError(
                "the codes hold NaN or infinite numbers, expected finite ones: training has "
                "diverged; train again with a smaller learning rate."
            )
        return codes

    return encoder


def _on_devices(observed: Masks, mesh: Mesh) -> ByModality:
    return sharding.replicate({m: jnp.asarray(mask) for m, mask in observed.items()}, mesh)
