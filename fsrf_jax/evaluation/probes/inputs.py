"""What probes compare: codes of a split, the latents behind it, its labels as columns."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fsrf_jax.data import synthetic
from fsrf_jax.data.dataset import Split
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.evaluate import Masks
from fsrf_jax.models import Network
from fsrf_jax.training import sharding
from fsrf_jax.training.build import make_batch
from fsrf_jax.training.step import map_rows
from fsrf_jax.types import Batch, ByModality, Codes


@jax.jit(static_argnames=("network", "mesh", "batch_size"))
def _encode(
    network: Network,
    mesh: Mesh,
    parameters: dict,
    batch: Batch,
    observed: ByModality,
    batch_size: int,
) -> Codes:
    """Codes of all rows; compiled once for all networks of one kind."""

    def of_rows(features: ByModality, valid: ByModality, observed: ByModality) -> Codes:
        variables = {"params": parameters}
        outputs: Any = network.apply(variables, features, valid, observed, train=False)
        return outputs[0]

    return map_rows(of_rows, mesh, (batch.features, batch.valid, observed), batch_size)


def make_encoder(
    network: Network, mesh: Mesh, parameters: dict, split: Split, batch_size: int
) -> Callable[[Masks], Codes]:
    """Observed masks to the codes of a normalised split, without dropout; NumPy arrays.

    The function given raises UserError if a code is not finite.
    """
    batch, parameters = sharding.replicate((make_batch(split), parameters), mesh)

    def encoder(observed: Masks) -> Codes:
        masks = sharding.replicate({m: jnp.asarray(mask) for m, mask in observed.items()}, mesh)
        found = _encode(network, mesh, parameters, batch, masks, batch_size)
        codes = jax.tree.map(np.asarray, found)
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(codes)):
            raise UserError(
                "the codes hold NaN or infinite numbers, expected finite ones: training has "
                "diverged; train again with a smaller learning rate."
            )
        return codes

    return encoder


def encode(network: Network, mesh: Mesh, parameters: dict, split: Split, batch_size: int) -> Codes:
    """Codes of a normalised split with every valid frame observed: see `make_encoder`.

    Raises:
        UserError: a code is not finite.
    """
    return make_encoder(network, mesh, parameters, split, batch_size)(split.valid)


def latents_of(world: synthetic.World, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The latents behind samples of the built-in data, found by their ids.

    Args:
        world: the world the samples were drawn from.
        ids: such as `test/00012`, from any of the splits in any order.

    Returns:
        float64 [n, k] by name: `u`, and for each modality m `w_m` and `r_m`.

    Raises:
        ValueError: an id that no sample of the world has.
    """
    drawn: dict[str, dict[str, np.ndarray]] = {}
    places = []
    for i in ids:
        name, _, number = i.partition("/")
        count = getattr(world.options, name, 0) if name in ("train", "valid", "test") else 0
        if not number.isdecimal() or int(number) >= count:
            raise ValueError(f"found the id {i!r}, expected one of the built-in data: test/00012")
        if name not in drawn:
            drawn[name] = _named(synthetic.sample(world, name, count)[1])
        places.append((drawn[name], int(number)))
    names = [f"{kind}_{m}" for kind in ("w", "r") for m in world.modalities]
    return {
        name: np.stack([latents[name][row] for latents, row in places]) for name in ["u", *names]
    }


def _named(latents: synthetic.Latents) -> dict[str, np.ndarray]:
    private = {f"w_{m}": w for m, w in latents.private.items()}
    return {"u": latents.shared, **private, **{f"r_{m}": r for m, r in latents.irrelevant.items()}}


def label_columns(head: str, labels: np.ndarray) -> np.ndarray:
    """Labels as columns to decode: [n, 1] numbers, [n, c] classes one-hot, or [n, o] tasks.

    Args:
        head: what the labels are, see `Network.head`.
        labels: [n], or [n, o] of 0 and 1 for o binary tasks.
    """
    labels = np.asarray(labels)
    if head == "class":
        return (labels[:, None] == np.unique(labels)).astype(np.float64)
    return labels.reshape(len(labels), -1).astype(np.float64)
