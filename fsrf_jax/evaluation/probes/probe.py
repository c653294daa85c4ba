"""Does H hold what is shared, S what is private, N what is irrelevant? Measured, not assumed.

The codes of held-out samples, with every frame observed, are compared with the latents
behind the built-in data, or with what is known of any data: label, modality, each other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.data import synthetic
from fsrf_jax.data.dataset import Split
from fsrf_jax.errors import NoCodesError
from fsrf_jax.evaluation.probes import measures
from fsrf_jax.evaluation.probes.inputs import label_columns, latents_of
from fsrf_jax.evaluation.probes.measures import Figures
from fsrf_jax.losses.task import TaskOptions
from fsrf_jax.types import Codes

KINDS = {"H": "homogeneous", "S": "heterogeneous", "N": "noise"}
"""Short names of the codes, and their fields in `Codes`."""

RELEVANT = ("u", "w", "r")

Probes = dict[str, Any]
Rows = dict[str, dict[str, np.ndarray]]  # [n_m, d] by kind and modality
Measure = Callable[[np.ndarray, Mapping[str, np.ndarray]], Figures]


def probe_split(
    codes: Codes,
    modalities: Sequence[str],
    split: Split,
    task: TaskOptions,
    world: synthetic.World | None,
) -> Probes:
    """Probe the codes of a split with every valid frame observed: see `probe`.

    Args:
        codes: NumPy arrays, of samples that the network was not trained on.
        modalities: names, in the order of the results.
        split: the samples.
        task: what their labels are.
        world: the world the split was drawn from; None for data from a file.

    Raises:
        NoCodesError: the method has none of the codes H, S and N.
    """
    latents = None if world is None else latents_of(world, [str(i) for i in split.ids])
    return probe(codes, modalities, label_columns(task, split.labels), latents)


def probe(
    codes: Codes,
    modalities: Sequence[str],
    label: np.ndarray,
    latents: Mapping[str, np.ndarray] | None = None,
) -> Probes:
    """Measure what the codes H, S and N of every modality hold.

    A sample counts for a modality where it has it. Figures are None where they are undefined.

    Args:
        codes: of n samples.
        modalities: names, in the order of the results.
        label: [n, o], see `label_columns`.
        latents: [n, k] by name, see `latents_of`.

    Returns:
        What JSON can hold; by kind of code that the method has, then modality:

        - `variance`: total variance of the code, for one that collapses to be seen;
        - `label`: `decoding` of the label;
        - `variance_shares` (with latents): `variance_shares` of the shared latent `u`, the
          modality's own `w` and `r`, the `others`' w and r, and the `rest`;
        - `normalised` (with latents): u, w and r as parts of what they explain together;
        - `decoding` (with latents): `decoding` of u, w, r and the label;

        `mean`: each of these averaged over the modalities, by kind; `modality_identity` by kind,
        and its `chance`; `cka`: `names` and the `matrix` over all pairs; `n`, `modalities`,
        `folds` and `noise_floor`.

    Raises:
        NoCodesError: the method has none of the codes H, S and N.
    """
    place = {m: codes.modalities.index(m) for m in modalities}
    there = {m: np.asarray(codes.available[place[m]]) > 0 for m in modalities}
    all_rows = _rows(codes, place)
    rows: Rows = {
        kind: {m: code_nd[there[m]] for m, code_nd in of_kind.items()}
        for kind, of_kind in all_rows.items()
    }
    labels = {m: {"label": label[there[m]]} for m in modalities}
    results: Probes = {"variance": _each(rows, labels, _variance)}
    if latents is not None:
        own = {m: _seen_from(m, latents, there[m]) for m in modalities}
        shares = _each(rows, own, measures.variance_shares)
        sought = {m: {name: own[m][name] for name in RELEVANT} | labels[m] for m in modalities}
        results["variance_shares"] = shares
        results["normalised"] = {
            kind: {m: measures.normalised(found, RELEVANT) for m, found in of_kind.items()}
            for kind, of_kind in shares.items()
        }
        results["decoding"] = _each(rows, sought, measures.decoding)
    results["label"] = _each(rows, labels, measures.decoding)
    results["mean"] = {
        name: {kind: _mean(list(of_kind.values())) for kind, of_kind in table.items()}
        for name, table in results.items()
    }
    return {
        "n": len(label),
        "modalities": list(modalities),
        "folds": measures.FOLDS,
        "noise_floor": measures.NOISE_FLOOR,
        **results,
        "modality_identity": {
            kind: measures.modality_identity(of_kind) for kind, of_kind in rows.items()
        },
        "chance": 1 / len(modalities),
        "cka": _alignment(all_rows, there),
    }


def _rows(codes: Codes, place: Mapping[str, int]) -> Rows:
    """The codes that the method has, [n, d] by kind and modality; `place` on the axis m."""
    found = {kind: getattr(codes, field) for kind, field in KINDS.items()}
    rows = {
        kind: {m: np.asarray(code_mnd[i], np.float64) for m, i in place.items()}
        for kind, code_mnd in found.items()
        if code_mnd is not None
    }
    if not rows:
        raise NoCodesError("The method has no homogeneous, heterogeneous or noise codes to probe.")
    return rows


def _seen_from(
    m: str, latents: Mapping[str, np.ndarray], there_n: np.ndarray
) -> dict[str, np.ndarray]:
    """The latents of the samples that have modality m, as u, w, r and others."""
    own = {"u": "u", "w": f"w_{m}", "r": f"r_{m}"}
    others = [latent for name, latent in latents.items() if name not in own.values()]
    groups = {short: latents[name] for short, name in own.items()}
    groups["others"] = np.concatenate([np.empty((len(there_n), 0)), *others], axis=1)
    return {name: latent[there_n] for name, latent in groups.items()}


def _each(
    rows: Rows, groups: Mapping[str, Mapping[str, np.ndarray]], measure: Measure
) -> dict[str, dict[str, Figures]]:
    """A measure of every code against its modality's groups."""
    return {
        kind: {m: measure(code_nd, groups[m]) for m, code_nd in of_kind.items()}
        for kind, of_kind in rows.items()
    }


def _variance(code_nd: np.ndarray, _: Mapping[str, np.ndarray]) -> Figures:
    return {"total": float(np.var(code_nd, axis=0).sum()) if len(code_nd) else None}


def _mean(tables: list[Figures]) -> Figures:
    """Mean of every figure over the tables where it is defined."""
    means: Figures = {}
    for name in tables[0]:
        found = [figure for table in tables if (figure := table[name]) is not None]
        means[name] = float(np.mean(found)) if found else None
    return means


def _alignment(rows: Rows, there: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """CKA between all codes, each pair on the samples that have both modalities."""
    pairs = [(kind, m) for kind in rows for m in there]

    def aligned(first: tuple[str, str], second: tuple[str, str]) -> float | None:
        both = there[first[1]] & there[second[1]]
        return measures.cka(*(rows[kind][m][both] for kind, m in (first, second)))

    matrix = [[aligned(first, second) for second in pairs] for first in pairs]
    return {"names": [f"{kind} {m}" for kind, m in pairs], "matrix": matrix}
