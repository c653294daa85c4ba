"""The results as a table for other programs: a row for each condition and mask seed."""

import csv
import io

from fsrf_jax.evaluation.results import FLOOR, Results


def conditions_csv(results: Results) -> str:
    """Comma-separated values with a header; an undefined figure is empty, shares are fractions.

    Columns: `method`, `training_seed`, `split`, `n`, `condition`, `mask_seed`, `missing_frames`,
    `missing_modalities` (what was really missing), and one for each metric. Below stand the floors,
    a row for each condition, means over the mask seeds: their method is `floor: best constant`,
    `floor: ridge` and so on, and they have neither training seed nor mask seed.
    """
    run = {
        "method": results.get("method"),
        "training_seed": results["training_seed"],
        "split": results["split"],
        "n": results["n"],
    }
    metrics = list(results["conditions"][0]["metrics"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    header = [*run, "condition", "mask_seed", "missing_frames", "missing_modalities", *metrics]
    rows.writerow(header)
    for entry in results["conditions"]:
        for seed, figures, missing in zip(
            results["mask_seeds"],
            entry["metrics_per_mask_seed"],
            entry["missing_per_mask_seed"],
            strict=True,
        ):
            shares = missing["frames"], missing["modalities"]
            cells = [*run.values(), entry["name"], seed, *shares]
            rows.writerow([*cells, *(figures[name] for name in metrics)])
    for floor in ("best constant", *results["conditions"][0].get("floors", ())):
        run |= {"method": FLOOR.format(floor), "training_seed": None}
        for entry in results["conditions"]:
            missing, figures = entry["missing"], entry.get("floors", {}).get(floor, entry["floor"])
            cells = [*run.values(), entry["name"], None, missing["frames"], missing["modalities"]]
            rows.writerow([*cells, *(figures[name] for name in metrics)])
    return text.getvalue()
