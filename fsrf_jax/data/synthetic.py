"""Built-in data: a linear-Gaussian world, so the best possible prediction is known exactly.

Latents of a sample, all standard normal and independent: `u`, shared by the modalities; `w_m`,
private to modality m; `r_m`, private and irrelevant to the label, constant over the frames.
The label and frame t of modality m, with a transient `e_t` that is new in each frame, are

    y     = a . u + sum_m b_m . w_m + noise
    x_t   = A_m u + B_m w_m + R_m r_m + C_m e_t + noise,      stored as  warp(x_t)

Lengths do not depend on the latents, and the warp is elementwise and invertible. Given the frames
that are observed, y is therefore Gaussian with a mean and variance in closed form. The mean is
optimal for sign accuracy, absolute and squared error, and correlation; both together give the
probability of every class that cut points make of y.

With `product_share` the label also has the term c w_1 w_2, of the first private latents of the
first two modalities. What is optimal then depends on the metric, see `fsrf_jax.data.product`.

Axis letters: n sample, t frame, f feature, k latent.
"""

from collections.abc import Callable, Mapping

import numpy as np

from fsrf_jax.data.dataset import Masks, Oracle
from fsrf_jax.data.labels import cut_gaussian
from fsrf_jax.data.product import ProductPosterior
from fsrf_jax.data.synthetic_options import SyntheticOptions
from fsrf_jax.data.synthetic_world import (
    Latents,
    World,
    make_dataset,
    make_world,
    sample,
    unwarp,
    warp,
)

__all__ = (
    "Latents",
    "SyntheticOptions",
    "World",
    "make_dataset",
    "make_oracle",
    "make_posterior",
    "make_world",
    "posterior_mean",
    "sample",
    "unwarp",
    "warp",
)


def make_posterior(
    world: World, features: Mapping[str, np.ndarray]
) -> Callable[[Masks], tuple[np.ndarray, np.ndarray]]:
    """Return a function from observed masks to the exact mean and variance of y given the frames.

    The work that does not depend on the mask is done once, here.

    Args:
        world: the world the features were drawn from.
        features: [n, t, f] per modality as `sample` gives them (warped, not normalised).

    Returns:
        A function of masks to mean and variance, float64 [n] each; y is Gaussian in a linear world.
    """
    if world.product_weight:
        of_product = _make_product_posterior(world, features)

        def moments(observed: Masks) -> tuple[np.ndarray, np.ndarray]:
            found = of_product(observed)
            return found.mean, found.variance

        return moments
    weights_k, _ = _joint_loadings(world)
    of_latents = _make_latent_posterior(world, features, weights_k[:, None])

    def posterior(observed: Masks) -> tuple[np.ndarray, np.ndarray]:
        means, covariances = of_latents(observed)
        return means[0], covariances[0][0] + world.label_noise**2

    return posterior


def make_oracle(
    world: World,
    features: Mapping[str, np.ndarray],
    form: str = "number",
    cuts: tuple[float, ...] = (),
) -> Oracle:
    """Return a function from observed masks to the best possible prediction.

    Args:
        world: the world the features were drawn from.
        features: as in `make_posterior`.
        form: of the labels, see `fsrf_jax.data.labels`.
        cuts: what made labels of y; none for numbers.

    Returns:
        A function of masks to float64 [n], the mean of y; with a product in the label to all that
        is known of y, because no one number is best by every metric. Or to the probability of each
        class [n, c + 1] or, for tasks, of 1 [n, c].
    """
    if world.product_weight:
        of_product = _make_product_posterior(world, features)
        choose: dict[str, Callable[[ProductPosterior], np.ndarray | ProductPosterior]] = {
            "number": lambda found: found,
            "class": lambda found: found.classes(cuts),
            "binary": lambda found: found.above(cuts),
        }
        return lambda observed: choose[form](of_product(observed))
    posterior = make_posterior(world, features)

    def predict(observed: Masks) -> np.ndarray:
        mean, variance = posterior(observed)
        return mean if form == "number" else cut_gaussian(mean, variance, cuts, form)

    return predict


def posterior_mean(world: World, features: Mapping[str, np.ndarray], observed: Masks) -> np.ndarray:
    """Exact E[y | observed frames], float64 [n]; see `make_posterior`, better for many masks."""
    return make_posterior(world, features)(observed)[0]


def _make_product_posterior(
    world: World, features: Mapping[str, np.ndarray]
) -> Callable[[Masks], ProductPosterior]:
    """Return a function from observed masks to what is known of y with a product in it."""
    weights_k, _ = _joint_loadings(world)
    first = world.options.shared  # z starts with u, w_1 and r_1
    second = first + world.private[world.modalities[0]].shape[1]
    second += world.irrelevant[world.modalities[0]].shape[1]
    unit = np.eye(len(weights_k))
    columns_kj = np.stack([weights_k, unit[first], unit[second]], axis=1)
    of_latents = _make_latent_posterior(world, features, columns_kj)

    def posterior(observed: Masks) -> ProductPosterior:
        means, covariances = of_latents(observed)
        return ProductPosterior(
            means=np.stack(means, axis=1),
            covariances=np.stack([np.stack(row, axis=1) for row in covariances], axis=1),
            scale=world.product_weight,
            noise=world.label_noise**2,
        )

    return posterior


def _make_latent_posterior(
    world: World, features: Mapping[str, np.ndarray], columns_kj: np.ndarray
) -> Callable[[Masks], tuple[list[np.ndarray], list[list[np.ndarray]]]]:
    """Return a function from observed masks to what is known of j linear functions of the latents.

    Args:
        world: the world the features were drawn from.
        features: as in `make_posterior`.
        columns_kj: each column's weights of the latents z, in the order of `_joint_loadings`.

    Returns:
        A function of masks to the mean of each column, j of [n], and their covariances, j x j of
        [n].
    """
    # With S_m the covariance of a frame given z = (u, w, r), frames are independent given z:
    # precision of z = 1 + sum_m n_m L_m' S_m^-1 L_m and z's mean = precision^-1 sum L_m' S_m^-1 x.
    projected, information = {}, {}
    for name, loading_fk in _joint_loadings(world)[1].items():
        transient = world.transient[name]
        covariance = transient @ transient.T
        covariance += world.frame_noise[name] ** 2 * np.eye(len(covariance))
        solved_fk = np.linalg.solve(covariance, loading_fk)
        x_ntf = unwarp(np.asarray(features[name], np.float64), world.options.warp)
        projected[name] = x_ntf @ solved_fk
        information[name] = loading_fk.T @ solved_fk

    def posterior(observed: Masks) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
        precision = np.eye(len(columns_kj))
        evidence = np.zeros(len(columns_kj))
        for name in world.modalities:
            mask_nt = np.asarray(observed[name], bool)
            precision = precision + mask_nt.sum(1)[:, None, None] * information[name]
            evidence = evidence + np.where(mask_nt[:, :, None], projected[name], 0.0).sum(1)
        gains = np.linalg.solve(
            precision, np.broadcast_to(columns_kj, (len(evidence), *columns_kj.shape))
        ).transpose(2, 0, 1)
        means = [np.sum(gain_nk * evidence, axis=1) for gain_nk in gains]
        return means, [[gain_nk @ column_k for column_k in columns_kj.T] for gain_nk in gains]

    return posterior


def _joint_loadings(world: World) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Label weights [k] and loadings [f, k] per modality over z = (u, w_1, r_1, w_2, r_2, ...)."""
    blocks = [("shared", "", world.shared_weights)]
    for name in world.modalities:
        blocks.append(("private", name, world.private_weights[name]))
        blocks.append(("irrelevant", name, np.zeros(world.irrelevant[name].shape[1])))
    loadings = {
        name: np.concatenate(
            [
                getattr(world, kind)[name]
                if owner in ("", name)
                else np.zeros((len(world.shared[name]), len(weights)))
                for kind, owner, weights in blocks
            ],
            axis=1,
        )
        for name in world.modalities
    }
    return np.concatenate([weights for _, _, weights in blocks]), loadings
