"""Options of the built-in worlds, see `fsrf_jax.data.synthetic`."""

from dataclasses import dataclass

import numpy as np

from fsrf_jax.errors import ConfigError

LEAST_NOISE = 1e-3
"""Least noise of a label with a product, in variances of the product."""


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
    product_share: float = 0.0
    """Share of the label's variance that comes from a product: of the first private latents of the
    first two modalities. Neither of them says anything about it alone."""
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


def check_options(options: SyntheticOptions, modalities: tuple[str, ...]) -> None:
    """Refuse options that no world can be drawn from.

    Raises:
        ConfigError: an option is out of range or does not fit the modalities or another option.
    """
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
    for field in ("shared_share", "private_shares", "product_share", "noise_share", "warp"):
        _check_range(field, getattr(options, field), 0.0)
    for field in ("irrelevant_strength", "transient_strength"):
        _check_range(field, getattr(options, field), 0.0)
    for field in ("label_scale", "frame_noise"):
        _check_range(field, getattr(options, field), 1e-6)
    total = options.shared_share + sum(options.private_shares) + options.noise_share
    if not np.isclose(total + options.product_share, 1.0, rtol=0, atol=1e-6):
        raise ConfigError(
            f"data.synthetic.shared_share, private_shares, product_share, noise_share: found a sum "
            f"of {total + options.product_share:g}, expected 1; they are shares of the label's "
            "variance."
        )
    if options.noise_share < LEAST_NOISE * options.product_share:
        raise ConfigError(
            f"data.synthetic.noise_share: found {options.noise_share:g}, expected at least "
            f"{LEAST_NOISE:g} of product_share ({options.product_share:g}), because the optimum of "
            "a product without noise is beyond the quadrature."
        )


def _check_range(field: str, found: float | tuple[float, ...], bound: float) -> None:
    """Raise ConfigError unless every value is a finite number of at least `bound`."""
    values = found if isinstance(found, tuple | list) else (found,)
    if not all(np.isfinite(value) and value >= bound for value in values):
        raise ConfigError(f"data.synthetic.{field}: found {found}, expected at least {bound:g}.")
