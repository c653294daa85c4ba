"""Words that all tables of results share: names of rows, and notes."""

from fsrf_jax.evaluation.results import (
    AVERAGE,
    EVERYTHING,
    FLOOR,
    Results,
    family_of_results,
    rows_of,
)

MISSING = (
    "missing: share of the frames inside the sequences, and of the modalities that samples have, "
    "that was really not observed, in percent."
)


SELECTIONS = {
    "protocol": "mean over the protocol's conditions",
    "missingness": "under the training missingness",
}
"""What the validation error is that an epoch is chosen by, for each `training.selection`."""


def row_title(results: Results, name: str, *, collapsed: bool = True) -> str:
    """What a row is called: a condition, marked where nothing is seen or, also, at the floor."""
    if name == AVERAGE:
        area = results["protocol_description"]["average"]["rule"] == "area"
        return "area" if area else "average"
    if name == EVERYTHING:
        return "all conditions"
    entry = next((entry for entry in results["conditions"] if entry["name"] == name), None)
    if entry is None:  # an average that a comparison asked for
        return name
    if entry["collapse"]["sanity"]:
        return f"{name} (nothing seen)"
    return f"{name} (collapsed)" if collapsed and entry["collapse"]["collapsed"] else name


def averages(results: Results) -> int:
    """How many rows stand for several conditions."""
    return len(rows_of(results)) - len(results["conditions"])


def title_of(results: Results) -> str:
    """Protocol and split, in words."""
    return f"protocol {results['protocol']}, {results['split']} split"


def made_by(results: Results) -> str:
    """Where predictions without a training seed are from."""
    is_floor = results.get("method", "").startswith(FLOOR.format(""))
    return "fitted without a network" if is_floor else "predictions of another program"


def selected(results: Results) -> str:
    """How the network was chosen among the epochs; empty for what has no network."""
    if "selection" not in results:
        return ""
    return (
        f"Network of epoch {results['best_epoch']} of {results['epochs_trained']}, which has the "
        f"lowest validation error ({SELECTIONS[results['selection']]})."
    )


def has_bayes(results: Results) -> bool:
    """Whether the best possible prediction is known."""
    return "bayes" in results["conditions"][0]


def least_missing(results: Results) -> str:
    """The condition under which the fewest frames are missing: the complete one, if there is it."""
    frames = {entry["name"]: entry["missing"]["frames"] for entry in results["conditions"]}
    return min(frames, key=lambda name: frames[name] or 0.0)


def counted(results: Results) -> str:
    """The note on samples and columns."""
    return f"{results['n']} samples. {family_of_results(results).explained.format_map(results)}"


def averaged(results: Results) -> str:
    """The note on the rows that stand for several conditions."""
    rule = f"{row_title(results, AVERAGE)}: {results['average_rule']}."
    return f"{rule} all conditions: mean over all rows that show frames."


def bootstrapped(results: Results) -> str:
    """The note on intervals."""
    unit = "samples" if results["unit"] == "sample" else "groups of samples"
    return (
        f"95 %: bootstrap interval over the test {unit}, {results['resamples']} resamples, the "
        "same for every row; what another training seed would change is not in it."
    )
