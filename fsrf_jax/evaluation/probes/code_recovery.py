"""How close is the code of an incomplete view to the code of the same sample seen whole?

A number near the complete one's may be right for the wrong reason; a code that finds its own sample
among all others of the split has recovered it.

Axis letters: n sample, d width of a code, q query.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Masks
from fsrf_jax.evaluation.metrics.figures import Metrics, mean_of, std_metrics
from fsrf_jax.evaluation.protocols.registry import Condition, Protocol

ROWS = 512  # queries at a time: n = 4,000 needs 16 MB
FIGURES = ("cosine", "median_rank", "recall_at_1", "recall_at_10")


def code_recovery(incomplete: np.ndarray, complete: np.ndarray) -> Metrics:
    """Compare codes of incomplete views with the complete views' codes of the same samples.

    - `cosine`: mean cosine similarity of a sample's two codes.
    - `median_rank`: median rank of the right sample among all complete codes by cosine similarity
      to the incomplete one: 1 is best, (n + 1) / 2 chance.
    - `recall_at_1`, `recall_at_10`: share of samples with a rank of at most 1, or 10.

    Args:
        incomplete: [n, d], finite.
        complete: [n, d], finite, in the same order.

    Returns:
        The figures by name; all None for n = 0, and where a code is zero and has no direction.

    Raises:
        ValueError: the codes are not two matrices of one shape.
    """
    codes = [np.asarray(code, np.float64) for code in (incomplete, complete)]
    if codes[0].ndim != 2 or codes[0].shape != codes[1].shape:
        raise ValueError(
            f"expected codes of one shape [n, d], found {codes[0].shape} and {codes[1].shape}"
        )
    norms = [np.linalg.norm(code, axis=1, keepdims=True) for code in codes]
    if not len(codes[0]) or min(norm.min() for norm in norms) == 0:
        return dict.fromkeys(FIGURES)
    query_nd, target_nd = (code / norm for code, norm in zip(codes, norms, strict=True))
    rank_n = np.concatenate(list(_ranks(query_nd, target_nd)))
    return {
        "cosine": float(np.sum(query_nd * target_nd, axis=1).mean()),
        "median_rank": float(np.median(rank_n)),
        "recall_at_1": float(np.mean(rank_n <= 1)),
        "recall_at_10": float(np.mean(rank_n <= 10)),
    }


def measure_protocol(
    encode: Callable[[Masks], np.ndarray],
    protocol: Protocol,
    mask_seeds: Sequence[int],
    observe: Callable[[Condition, int], Masks],
    valid: Masks,
) -> dict[str, Any]:
    """`code_recovery` under every condition of a protocol.

    Args:
        encode: observed masks to codes [n, d].
        protocol: the conditions.
        mask_seeds: at least one.
        observe: condition and mask seed to observed masks.
        valid: masks of the complete views.

    Returns:
        What JSON can hold: `n`, `protocol`, `mask_seeds`, `chance` (the figures of a code that
        knows nothing) and `conditions`: for each its `name`, `metrics` (means over the mask
        seeds), `metrics_std` and `metrics_per_mask_seed`.
    """
    complete = encode(valid)
    entries = []
    for condition in protocol.conditions:
        tables: list[Metrics] = []
        for seed in mask_seeds:
            again = bool(tables) and not condition.random  # nothing is random
            masks = valid if again else observe(condition, seed)
            tables.append(dict(tables[0]) if again else code_recovery(encode(masks), complete))
        entries.append(
            {
                "name": condition.name,
                "metrics": mean_of(tables, FIGURES),
                "metrics_std": std_metrics(tables),
                "metrics_per_mask_seed": tables,
            }
        )
    n = len(complete)
    chance = {"median_rank": (n + 1) / 2, "recall_at_1": 1 / n, "recall_at_10": min(1.0, 10 / n)}
    return {
        "n": n,
        "protocol": protocol.name,
        "mask_seeds": list(mask_seeds),
        "chance": {"cosine": None, **chance},
        "conditions": entries,
    }


def _ranks(query_nd: np.ndarray, target_nd: np.ndarray) -> Iterator[np.ndarray]:
    """Rank of target i for query i, some queries at a time; ties count half."""
    for start in range(0, len(query_nd), ROWS):
        similarity_qn = query_nd[start : start + ROWS] @ target_nd.T
        row_q = np.arange(len(similarity_qn))
        own_q1 = similarity_qn[row_q, start + row_q][:, None]
        closer_q = np.count_nonzero(similarity_qn > own_q1, axis=1)
        equal_q = np.count_nonzero(similarity_qn == own_q1, axis=1) - 1
        yield 1 + closer_q + equal_q / 2
