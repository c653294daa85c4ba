"""The results as a table for other programs: a row for each condition and mask seed."""

import csv
import io
from collections.abc import Mapping
from typing import Any


def conditions_csv(results: Mapping[str, Any]) -> str:
    """Comma-separated values with a header; an undefined figure is empty, shares are fractions.

    Columns: `condition`, `mask_seed`, `missing_frames`, `missing_modalities` (what was really
    missing), and one for each metric.
    """
    metrics = list(results["conditions"][0]["metrics"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["condition", "mask_seed", "missing_frames", "missing_modalities", *metrics])
    for entry in results["conditions"]:
        for seed, figures, missing in zip(
            results["mask_seeds"],
            entry["metrics_per_mask_seed"],
            entry["missing_per_mask_seed"],
            strict=True,
        ):
            shares = missing["frames"], missing["modalities"]
            rows.writerow([entry["name"], seed, *shares, *(figures[name] for name in metrics)])
    return text.getvalue()
