"""What the codes of every variant hold, side by side: which term is responsible for which figure.

Everything is computed from the probes of the runs, see `fsrf_jax.evaluation.probes.probe`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fsrf_jax.evaluation.probes.probe import Probes
from fsrf_jax.evaluation.protocols.averages import mean_and_std

Figure = Callable[[Probes], float | None]


def _mean_of(table: str, kind: str, *names: str) -> Figure:
    """The sum of some figures of a kind of code, mean over the modalities."""

    def figure(probes: Probes) -> float | None:
        if kind not in probes["mean"][table]:
            return None  # the method does not have this code
        found = [probes["mean"][table][kind][name] for name in names]
        return None if None in found else float(sum(found))

    return figure


def _told(kind: str) -> Figure:
    return lambda probes: probes["modality_identity"].get(kind)


def _alignment(first: str, second: str) -> Figure:
    """CKA between two codes of one modality, mean over the modalities."""

    def figure(probes: Probes) -> float | None:
        names, matrix = probes["cka"]["names"], probes["cka"]["matrix"]
        pairs = [(f"{first} {m}", f"{second} {m}") for m in probes["modalities"]]
        if not {name for pair in pairs for name in pair} <= set(names):
            return None  # the method does not have both codes
        found = [matrix[names.index(row)][names.index(column)] for row, column in pairs]
        return None if None in found else float(np.mean(found))

    return figure


KNOWN_LATENTS: dict[str, Figure] = {
    "H: u": _mean_of("normalised", "H", "u"),
    "S: w": _mean_of("normalised", "S", "w"),
    "S: u": _mean_of("normalised", "S", "u"),
    "S: r": _mean_of("normalised", "S", "r"),
    "N: r": _mean_of("normalised", "N", "r"),
    "N: u and w": _mean_of("variance_shares", "N", "u", "w"),
}
UNKNOWN_LATENTS: dict[str, Figure] = {
    "label from H": _mean_of("label", "H", "label"),
    "label from S": _mean_of("label", "S", "label"),
    "label from N": _mean_of("label", "N", "label"),
    "modality from H": _told("H"),
    "modality from S": _told("S"),
    "CKA of H, S": _alignment("H", "S"),
    "CKA of H, N": _alignment("H", "N"),
    "CKA of S, N": _alignment("S", "N"),
}


def compare_probes(probes: Mapping[str, Mapping[int, Probes]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of the figures that sum the probes up.

    Args:
        probes: by variant and training seed, at least one of each.

    Returns:
        `known_latents`, and `variants`: by variant and figure, `mean` and `std` (None for one
        seed); both None where a probe is undefined.
    """
    one = next(iter(next(iter(probes.values())).values()))
    known = "variance_shares" in one
    figures = KNOWN_LATENTS if known else UNKNOWN_LATENTS
    return {
        "known_latents": known,
        "variants": {
            variant: {
                name: mean_and_std([figure(found) for found in by_seed.values()])
                for name, figure in figures.items()
            }
            for variant, by_seed in probes.items()
        },
    }
