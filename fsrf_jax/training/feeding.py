"""Epochs whose batches come from the host, one step at a time: for data larger than the device.

They give what `loop.train_epoch` gives: the same order, the same random numbers, the same step. The
order is a function of the key and the step of a state, so that the state alone says what comes
next, and a checkpoint needs no position in the data.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fsrf_jax import sharding
from fsrf_jax.data.dataset import Split
from fsrf_jax.errors import ConfigError, RunError, UserError
from fsrf_jax.options import Hyper
from fsrf_jax.training.loop import member
from fsrf_jax.training.state import Recipe, TrainState
from fsrf_jax.training.step import epoch_order, keep_best, rows_of_step, train_step
from fsrf_jax.types import Batch, ByModality, View

AHEAD = 2
"""Steps that are given to the device before it has done the one before: it never waits, and does
not have more than so many batches."""

VALIDATION_ROWS = 512  # at a time, as in `step.validation_error`


@dataclass(frozen=True)
class Feed:
    """Normalised samples that lie in memory, or in a file.

    Attributes:
        split: the samples.
        readers: threads that read batches ahead of those that lie in a file.
    """

    split: Split
    readers: int = 1

    def __len__(self) -> int:
        return len(self.split)

    def rows(self, index_b: np.ndarray) -> Batch:
        """The batch of these sample numbers."""
        return _Asked(self.split, np.asarray(index_b)[None]).batch(0)

    def batches(self, order_sb: np.ndarray) -> Iterator[Batch]:
        """The batches of these sample numbers, as `step.take` has them, in NumPy."""
        asked = _Asked(self.split, order_sb)
        if self.split.in_memory:
            yield from map(asked.batch, range(len(asked)))
            return
        with contextlib.closing(_read_ahead(asked, self.readers)) as batches:
            for found in batches:
                if isinstance(found, UserError):
                    raise found
                yield found


@dataclass(frozen=True)
class _Asked:
    """Batches by number, as Grain asks for them."""

    split: Split
    order_sb: np.ndarray

    def __len__(self) -> int:
        return len(self.order_sb)

    def __getitem__(self, number: int) -> Batch | UserError:
        """A batch, or why it cannot be read: Grain would add words of its own to the message."""
        try:
            return self.batch(number)
        except UserError as error:
            return error

    def batch(self, number: int) -> Batch:
        """One of them."""
        index_b = self.order_sb[number]
        real_b, rows_b = index_b >= 0, np.maximum(index_b, 0)
        # In the order of the file, each row once: a row of no weight is a copy of row 0.
        read, place_b = np.unique(rows_b, return_inverse=True)
        split = self.split
        return Batch(
            features={m: x[read][place_b] for m, x in split.features.items()},
            valid={m: v[rows_b] & real_b[:, None] for m, v in split.valid.items()},
            present={m: p[rows_b] & real_b[:, None] for m, p in split.present.items()},
            labels=split.labels[rows_b].astype(np.float32),
            weights=real_b.astype(np.float32),
        )


def _read_ahead(asked: _Asked, readers: int) -> Any:
    """An iterator over the batches in their order, that threads read before they are needed.

    Grain does the reading ahead. It does not shuffle: the order has to be that of the other
    placements, and Grain's is another function of the seed. Threads, not processes: reading and
    normalising release Python's lock, and a batch need not be copied from one process to another.
    """
    try:
        import grain  # most of a second, for who needs it
    except ImportError as error:
        raise ConfigError(
            f"data.placement stream reads ahead by the package grain: {error}; install it, "
            "pip install grain, or give --data.placement host."
        ) from error
    options = grain.ReadOptions(num_threads=readers, prefetch_buffer_size=readers + 1)
    return iter(grain.MapDataset.source(asked).to_iter_dataset(options))


@dataclass(frozen=True)
class HeldOut:
    """The validation split under fixed masks, see `validation.Validation`.

    Attributes:
        feed: the samples.
        masks: bool [n, t] per modality, each of v.
    """

    feed: Feed
    masks: Sequence[Mapping[str, Any]]

    def error(self, recipe: Recipe, mesh: Mesh, inference: Any) -> jax.Array:
        """The same as `step.validation_error`, some samples at a time."""
        n = len(self.feed)
        rows = sharding.even_rows(sharding.padded_rows(min(VALIDATION_ROWS, n)), mesh)
        order_sb = np.arange(-(-n // rows) * rows).reshape(-1, rows)
        order_sb = np.minimum(order_sb, n - 1)[:, sharding.own_rows(rows, mesh)]
        masks = [{m: np.asarray(x) for m, x in mask.items()} for mask in self.masks]
        found: list[jax.Array] = []
        for index_b, batch in zip(order_sb, self.feed.batches(order_sb), strict=True):
            observed = {m: np.stack([mask[m][index_b] for mask in masks]) for m in masks[0]}
            given = sharding.put_rows(batch, mesh, rows)
            masked = sharding.put_rows(observed, mesh, rows, axis=1)
            found.append(_predict(recipe, inference, given, masked))
            jax.block_until_ready(found[-AHEAD:][0])
        return _score(recipe, found, np.asarray(self.feed.split.labels, np.float32))


def train_epoch(
    recipe: Recipe,
    mesh: Mesh,
    states: TrainState,
    data: Feed,
    validation: HeldOut,
    hypers: Hyper,
    teacher: Any = None,
) -> tuple[TrainState, dict[str, np.ndarray], jax.Array]:
    """As `loop.train_epoch`, of one member, whose batches are given to the device one by one.

    Raises:
        RunError: there are several members.
        DataError: the file is damaged.
    """
    p = states.step.shape[0]
    if p > 1:
        raise RunError(
            f"data.placement: {p} members began to train together, which they can do with the "
            "placement device alone; give --data.placement device, or another folder."
        )
    state, hyper = member(states, 0), member(hypers, 0)
    n = len(data)
    rows = rows_of_step(recipe, n)
    given = sharding.even_rows(rows, mesh)
    order_sb = np.asarray(_order(recipe, state, n, rows))
    filled_sb = np.pad(order_sb, ((0, 0), (0, given - rows)), constant_values=-1)
    own_sb = filled_sb[:, sharding.own_rows(given, mesh)]
    terms: list[dict[str, jax.Array]] = []
    for own in data.batches(own_sb):
        batch = sharding.put_rows(own, mesh, given)
        state, of_step = _step(recipe, mesh, rows, state, batch, hyper, teacher)
        terms.append(of_step)
        jax.block_until_ready(terms[-AHEAD:][0])
    score = validation.error(recipe, mesh, state.average)
    # Stacked here: a program with an argument for every step takes long to compile and to call.
    of_steps = jax.tree.map(lambda *steps: np.stack(steps)[None], *jax.device_get(terms))
    state, score = _end(recipe, state, score)
    return state, of_steps, score


@jax.jit(static_argnames=("recipe", "n", "rows"))
def _order(recipe: Recipe, state: TrainState, n: int, rows: int) -> jax.Array:
    return epoch_order(state, n, recipe.steps_per_epoch, rows)


@jax.jit(static_argnames=("recipe", "mesh", "rows"), donate_argnames=("state",))
def _step(
    recipe: Recipe,
    mesh: Mesh,
    rows: int,
    state: TrainState,
    batch: Batch,
    hyper: Hyper,
    teacher: Any,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """A step on the first rows of a batch; the rest is there to divide evenly over devices."""
    if mesh.size > 1:
        batch = sharding.split_rows(jax.tree.map(lambda x: x[:rows], batch), mesh)
    ended = train_step(recipe, state, batch, hyper, teacher)
    return sharding.whole(ended, mesh if mesh.size > 1 else None)


@jax.jit(static_argnames=("recipe",), donate_argnames=("state",))
def _end(recipe: Recipe, state: TrainState, score: jax.Array) -> tuple[TrainState, jax.Array]:
    """State and score at the end of an epoch, with the axis of members."""
    return jax.tree.map(lambda x: x[None], (keep_best(recipe, state, score), score))


@jax.jit(static_argnames=("recipe",))
def _predict(recipe: Recipe, inference: Any, batch: Batch, observed: ByModality) -> jax.Array:
    """Predictions [v, b], or [v, b, o], under v masks [v, b, t]."""

    def predict(observed: ByModality) -> jax.Array:
        view = View(batch.features, batch.valid, observed)
        return recipe.method.predict(recipe.setting, inference, view)

    return jax.lax.map(predict, observed)


@jax.jit(static_argnames=("recipe",))
def _score(recipe: Recipe, predictions: list[jax.Array], labels: jax.Array) -> jax.Array:
    task, n = recipe.task, len(labels)
    whole = jnp.concatenate(predictions, axis=1)[:, :n]
    return jax.lax.map(lambda found: task.prediction_error(found, labels).mean(), whole).mean()
