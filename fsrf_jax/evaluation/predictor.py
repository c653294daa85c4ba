"""A trained network in the form that `evaluate` takes."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fsrf_jax.data.dataset import Split
from fsrf_jax.evaluation.evaluate import Gaussian, Predictor
from fsrf_jax.models import Network
from fsrf_jax.training.build import make_batch
from fsrf_jax.training.sharding import replicate
from fsrf_jax.training.step import predict_rows

# Compiled once for all networks of one kind.
_predict = jax.jit(predict_rows, static_argnames=("network", "mesh", "batch_size"))


def make_predictor(
    network: Network, mesh: Mesh, parameters: dict, split: Split, batch_size: int
) -> Predictor:
    """Observed masks to predictions for a normalised split, on all devices of the mesh.

    They are what the network's head gives: numbers [n], a `Gaussian`, or probabilities of classes
    or binary tasks [n, o].
    """
    batch, parameters = replicate((make_batch(split), parameters), mesh)

    def predictor(observed: Mapping[str, np.ndarray]) -> np.ndarray | Gaussian:
        masks = {m: jnp.asarray(mask) for m, mask in observed.items()}
        found = np.asarray(
            _predict(network, mesh, parameters, batch, replicate(masks, mesh), batch_size)
        )
        return Gaussian(found[:, 0], found[:, 1]) if network.head == "gaussian" else found

    return predictor
