"""The built-in worlds, and samples of them; `fsrf_jax.data.synthetic` has their equations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.synthetic_options import SyntheticOptions, check_options


@dataclass(frozen=True)
class World:
    """A drawn world; float64 arrays, features scaled to a mean variance of 1 in each modality.

    Attributes:
        options: what it was drawn from.
        modalities: names, in the order of the config.
        shared: A_m [f, k] per modality.
        private: B_m [f, k] per modality.
        irrelevant: R_m [f, k] per modality.
        transient: C_m [f, k] per modality.
        frame_noise: standard deviation of a feature's own noise, per modality.
        shared_weights: a [k].
        private_weights: b_m [k] per modality.
        product_weight: c, of the product of two private latents; 0 in a linear world.
        label_noise: standard deviation of the label's noise.
    """

    options: SyntheticOptions
    modalities: tuple[str, ...]
    shared: Mapping[str, np.ndarray]
    private: Mapping[str, np.ndarray]
    irrelevant: Mapping[str, np.ndarray]
    transient: Mapping[str, np.ndarray]
    frame_noise: Mapping[str, float]
    shared_weights: np.ndarray
    private_weights: Mapping[str, np.ndarray]
    product_weight: float
    label_noise: float


@dataclass(frozen=True)
class Latents:
    """What lies behind each sample; float64 arrays.

    Attributes:
        shared: u [n, k].
        private: w_m [n, k] per modality.
        irrelevant: r_m [n, k] per modality.
    """

    shared: np.ndarray
    private: Mapping[str, np.ndarray]
    irrelevant: Mapping[str, np.ndarray]


def warp(x: np.ndarray, strength: float) -> np.ndarray:
    """Squash elementwise: asinh(k x) / k, the identity for k = 0."""
    return np.arcsinh(strength * x) / strength if strength else x


def unwarp(x: np.ndarray, strength: float) -> np.ndarray:
    """Undo `warp`: sinh(k x) / k."""
    return np.sinh(strength * x) / strength if strength else x


def make_world(options: SyntheticOptions, modalities: tuple[str, ...]) -> World:
    """Draw the loadings and label weights from the seed.

    Raises:
        ConfigError: an option is out of range or does not fit the modalities.
    """
    check_options(options, modalities)
    rng = _generator(options.seed, "world")
    loadings: dict[str, dict[str, np.ndarray]] = {
        "shared": {}, "private": {}, "irrelevant": {}, "transient": {}
    }  # fmt: skip
    frame_noise, private_weights = {}, {}
    for index, name in enumerate(modalities):
        sizes = {
            "shared": (options.shared, 1.0),
            "private": (options.private[index], 1.0),
            "irrelevant": (options.irrelevant[index], options.irrelevant_strength),
            "transient": (options.transient[index], options.transient_strength),
        }
        drawn = {
            kind: strength * _directions(rng, options.widths[index], count)
            for kind, (count, strength) in sizes.items()
        }
        power = sum(float(np.square(columns).sum()) for columns in drawn.values())
        variance = power / options.widths[index] + options.frame_noise[index] ** 2
        for kind, columns in drawn.items():
            loadings[kind][name] = columns / np.sqrt(variance)
        frame_noise[name] = options.frame_noise[index] / np.sqrt(variance)
        private_weights[name] = _label_weights(
            rng, options.private[index], options.private_shares[index], options.label_scale
        )
    return World(
        options=options,
        modalities=tuple(modalities),
        **loadings,
        frame_noise=frame_noise,
        shared_weights=_label_weights(
            rng, options.shared, options.shared_share, options.label_scale
        ),
        private_weights=private_weights,
        # The product of two independent standard normals has variance 1, like each of them.
        product_weight=options.label_scale * float(np.sqrt(options.product_share)),
        label_noise=options.label_scale * float(np.sqrt(options.noise_share)),
    )


def sample(world: World, name: str, count: int) -> tuple[Split, Latents]:
    """Draw the split `name`: the same world, name and count always give the same samples.

    Features are warped float32, labels float32, ids `name/00000`, `name/00001`, ...
    """
    options = world.options
    rng = _generator(options.seed, "split", name)
    shared = rng.standard_normal((count, options.shared))
    labels = shared @ world.shared_weights + world.label_noise * rng.standard_normal(count)
    private, irrelevant, features, valid = {}, {}, {}, {}
    for modality in world.modalities:
        width, transient = world.transient[modality].shape
        private[modality] = rng.standard_normal((count, world.private[modality].shape[1]))
        irrelevant[modality] = rng.standard_normal((count, world.irrelevant[modality].shape[1]))
        labels = labels + private[modality] @ world.private_weights[modality]
        constant_nf = (
            shared @ world.shared[modality].T
            + private[modality] @ world.private[modality].T
            + irrelevant[modality] @ world.irrelevant[modality].T
        )
        lengths = rng.integers(options.min_frames, options.frames + 1, count)
        disturbance = rng.standard_normal((count, options.frames, transient))
        noise = rng.standard_normal((count, options.frames, width))
        x_ntf = (
            constant_nf[:, None, :]
            + disturbance @ world.transient[modality].T
            + world.frame_noise[modality] * noise
        )
        valid[modality] = np.arange(options.frames) < lengths[:, None]
        warped = np.where(valid[modality][:, :, None], warp(x_ntf, options.warp), 0.0)
        features[modality] = warped.astype(np.float32)
    if world.product_weight:
        first, second = (private[modality][:, 0] for modality in world.modalities[:2])
        labels = labels + world.product_weight * first * second
    ids = np.array([f"{name}/{index:05d}" for index in range(count)])
    split = Split(ids=ids, features=features, valid=valid, labels=labels.astype(np.float32))
    return split, Latents(shared=shared, private=private, irrelevant=irrelevant)


def make_dataset(options: SyntheticOptions, modalities: tuple[str, ...]) -> tuple[Dataset, World]:
    """Draw a world and its splits `train`, `valid` and `test`.

    Raises:
        ConfigError: an option is out of range or does not fit the modalities.
    """
    world = make_world(options, modalities)
    counts = {"train": options.train, "valid": options.valid, "test": options.test}
    splits = {name: sample(world, name, count)[0] for name, count in counts.items()}
    return Dataset(splits=splits), world


def _generator(seed: int, *stream: str) -> np.random.Generator:
    """Return an independent generator for each named stream of a seed."""
    return np.random.default_rng([seed, *"/".join(stream).encode()])


def _directions(rng: np.random.Generator, width: int, count: int) -> np.ndarray:
    """Random directions of norm 1 as columns, [width, count]."""
    columns = rng.standard_normal((width, count))
    return columns / np.linalg.norm(columns, axis=0)


def _label_weights(
    rng: np.random.Generator, count: int, share: float, label_scale: float
) -> np.ndarray:
    """Random weights [count] that give `share` of the label's variance."""
    return label_scale * np.sqrt(share) * _directions(rng, count, 1)[:, 0]
