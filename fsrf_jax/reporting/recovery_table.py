"""How close codes of incomplete samples are to the complete ones', as Markdown."""

from typing import Any

from fsrf_jax.evaluation.probes.recovery import FIGURES
from fsrf_jax.reporting.markdown import markdown_rows


def recovery_markdown(results: dict[str, Any]) -> str:
    """Write what `measure_protocol` gives as a Markdown document; a dash is undefined."""
    rows = [(entry["name"], entry["metrics"]) for entry in results["conditions"]]
    rows.append(("chance", results["chance"]))
    formats = dict(zip(FIGURES, ("{:.3f}", "{:.1f}", "{:.1%}", "{:.1%}"), strict=True))
    body = [
        [name, *("-" if figures[k] is None else f.format(figures[k]) for k, f in formats.items())]
        for name, figures in rows
    ]
    table = markdown_rows(["condition", "cosine", "median rank", "recall@1", "recall@10"], body)
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    notes = [
        f"- {results['n']} samples. The fused code of each incomplete view, compared by cosine "
        "similarity with the fused codes of all samples seen whole.",
        "- rank: place of the right sample, 1 is best; recall@k: share of ranks of at most k.",
        f"- Mean over the mask seeds {seeds}.",
    ]
    title = f"# Recovery of codes, protocol {results['protocol']}"
    return "\n".join([title, "", table, "", *notes]) + "\n"
