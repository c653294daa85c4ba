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

Axis letters: n sample, t frame, f feature, k latent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fsrf_jax.data.dataset import Dataset, Masks, Split
from fsrf_jax.data.labels import cut_gaussian
from fsrf_jax.errors import ConfigError


@dataclass(frozen=True)
class SyntheticOptions:
    """Size and difficulty of the built-in world; tuples hold one value for each modality."""

    train: int = 2000
    """Number of training samples."""
    valid: int = 500
    """Number of validation samples."""
    test: int = 4000
    """Number of test samples."""
    frames: int = 20
    """Largest number of frames of a modality."""
    min_frames: int = 10
    """Smallest number of frames; the length is uniform between the two."""
    widths: tuple[int, ...] = (32, 16, 20)
    """Features of a frame."""
    shared: int = 4
    """Dimensions of the latent that all modalities share."""
    private: tuple[int, ...] = (1, 1, 1)
    """Dimensions of the relevant latent that only this modality shows."""
    irrelevant: tuple[int, ...] = (2, 2, 2)
    """Dimensions of the latent without bearing on the label (speaker, camera, channel)."""
    transient: tuple[int, ...] = (2, 2, 2)
    """Dimensions of the disturbance that is drawn anew in each frame."""
    shared_share: float = 0.46
    """Share of the label's variance that comes from the shared latent."""
    private_shares: tuple[float, ...] = (0.335, 0.08, 0.07)
    """Share of the label's variance that comes from each private latent."""
    noise_share: float = 0.055
    """Share of the label's variance that nothing can explain; all shares sum to 1."""
    label_scale: float = 1.4
    """Standard deviation of the label."""
    irrelevant_strength: float = 1.5
    """Norm of a loading of the irrelevant latents; a relevant loading has norm 1."""
    transient_strength: float = 1.5
    """Norm of a loading of the transient disturbance; a relevant loading has norm 1."""
    frame_noise: tuple[float, ...] = (1.2, 1.1, 1.2)
    """Standard deviation of each feature's own noise in a frame, beside loadings of norm 1."""
    warp: float = 0.5
    """Strength k of the warp asinh(k x) / k, for features of variance 1; 0 is no warp."""
    seed: int = 0
    """Seed of the world and of its samples."""


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
    _check(options, modalities)
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


def make_posterior(
    world: World, features: Mapping[str, np.ndarray]
) -> Callable[[Masks], tuple[np.ndarray, np.ndarray]]:
    """Return a function from observed masks to the exact law of y given the observed frames.

    The work that does not depend on the mask is done once, here.

    Args:
        world: the world the features were drawn from.
        features: [n, t, f] per modality as `sample` gives them (warped, not normalised).

    Returns:
        A function of masks to the mean and the variance of the Gaussian y, float64 [n] each.
    """
    # With S_m the covariance of a frame given z = (u, w, r), frames are independent given z:
    # precision of z = 1 + sum_m n_m L_m' S_m^-1 L_m and z's mean = precision^-1 sum L_m' S_m^-1 x.
    weights_k, loadings = _joint_loadings(world)
    projected, information = {}, {}
    for name, loading_fk in loadings.items():
        transient = world.transient[name]
        covariance = transient @ transient.T
        covariance += world.frame_noise[name] ** 2 * np.eye(len(covariance))
        solved_fk = np.linalg.solve(covariance, loading_fk)
        x_ntf = unwarp(np.asarray(features[name], np.float64), world.options.warp)
        projected[name] = x_ntf @ solved_fk
        information[name] = loading_fk.T @ solved_fk

    def posterior(observed: Masks) -> tuple[np.ndarray, np.ndarray]:
        precision = np.eye(len(weights_k))
        evidence = np.zeros(len(weights_k))
        for name in world.modalities:
            mask_nt = np.asarray(observed[name], bool)
            precision = precision + mask_nt.sum(1)[:, None, None] * information[name]
            evidence = evidence + np.where(mask_nt[:, :, None], projected[name], 0.0).sum(1)
        gain = np.linalg.solve(precision, np.broadcast_to(weights_k[:, None], (*evidence.shape, 1)))
        variance = gain[..., 0] @ weights_k + world.label_noise**2
        return np.sum(gain[..., 0] * evidence, axis=1), variance

    return posterior


def make_oracle(
    world: World,
    features: Mapping[str, np.ndarray],
    form: str = "number",
    cuts: tuple[float, ...] = (),
) -> Callable[[Masks], np.ndarray]:
    """Return a function from observed masks to the best possible prediction.

    Args:
        world: the world the features were drawn from.
        features: as in `make_posterior`.
        form: of the labels, see `fsrf_jax.data.labels`.
        cuts: what made labels of y; none for numbers.

    Returns:
        A function of masks to float64 [n], the mean of y; or to the probability of each class
        [n, c + 1] or, for tasks, of 1 [n, c].
    """
    posterior = make_posterior(world, features)

    def predict(observed: Masks) -> np.ndarray:
        mean, variance = posterior(observed)
        return mean if form == "number" else cut_gaussian(mean, variance, cuts, form)

    return predict


def posterior_mean(world: World, features: Mapping[str, np.ndarray], observed: Masks) -> np.ndarray:
    """Exact E[y | observed frames], float64 [n]; see `make_oracle`, better for many masks."""
    return make_oracle(world, features)(observed)


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


def _check(options: SyntheticOptions, modalities: tuple[str, ...]) -> None:
    """Raise ConfigError for the first option that cannot be used."""
    if len(modalities) < 2 or len(set(modalities)) != len(modalities):
        raise ConfigError(f"data.modalities: found {list(modalities)}, expected two or more names.")
    for field in (
        "widths", "private", "irrelevant", "transient", "private_shares", "frame_noise"
    ):  # fmt: skip
        found = getattr(options, field)
        if len(found) != len(modalities):
            raise ConfigError(
                f"data.synthetic.{field}: found {len(found)} values, expected {len(modalities)}, "
                f"one for each modality ({', '.join(modalities)})."
            )
    least = {"train": 1, "valid": 1, "test": 1, "min_frames": 1, "widths": 1, "shared": 1}
    least |= {"private": 1, "irrelevant": 0, "transient": 0, "seed": 0}
    for field, bound in least.items():
        _check_range(field, getattr(options, field), bound)
    _check_range("frames", options.frames, options.min_frames)
    for field in ("shared_share", "private_shares", "noise_share", "warp"):
        _check_range(field, getattr(options, field), 0.0)
    for field in ("irrelevant_strength", "transient_strength"):
        _check_range(field, getattr(options, field), 0.0)
    for field in ("label_scale", "frame_noise"):
        _check_range(field, getattr(options, field), 1e-6)
    total = options.shared_share + sum(options.private_shares) + options.noise_share
    if not np.isclose(total, 1.0, rtol=0, atol=1e-6):
        raise ConfigError(
            f"data.synthetic.shared_share, private_shares, noise_share: found a sum of "
            f"{total:g}, expected 1; they are shares of the label's variance."
        )


def _check_range(field: str, found: float | tuple[float, ...], bound: float) -> None:
    """Raise ConfigError unless every value is a finite number of at least `bound`."""
    values = found if isinstance(found, tuple | list) else (found,)
    if not all(np.isfinite(value) and value >= bound for value in values):
        raise ConfigError(f"data.synthetic.{field}: found {found}, expected at least {bound:g}.")
