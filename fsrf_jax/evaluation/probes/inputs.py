"""What probes compare with codes: the latents behind a split, its labels as columns."""

from collections.abc import Sequence

import numpy as np

from fsrf_jax.data import synthetic
from fsrf_jax.losses.task import TaskOptions


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


def label_columns(task: TaskOptions, labels: np.ndarray) -> np.ndarray:
    """Labels as columns to decode: [n, 1] numbers, [n, c] classes one-hot, or [n, o] tasks.

    Args:
        task: what the labels are.
        labels: [n], or [n, o] of 0 and 1 for o binary tasks.
    """
    labels = np.asarray(labels)
    if task.form == "class":
        return (labels[:, None] == np.unique(labels)).astype(np.float64)
    return labels.reshape(len(labels), -1).astype(np.float64)
