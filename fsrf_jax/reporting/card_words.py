"""What a model card says in words: of the training missingness, of limits, and of use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from fsrf_jax.evaluation.results import Results, RunRecord

NAMED = 7
"""Subsets of the modalities that are listed by name; of more only their number."""


@dataclass(frozen=True)
class Use:
    """What a network is for, what not, and how its chapter on personal data begins."""

    intended: Sequence[str]
    not_intended: Sequence[str]
    personal: str


_PERSONAL = (
    "Sentiment inferred from faces, voices and words is personal data in the plain sense of the "
    "words: it says something about somebody, who can often be recognised. Handle recordings, the "
    "features made of them and the predictions as such, also where no name stands beside them. "
    "What follows from that:"
)
USE = Use(
    intended=[
        "Research on predicting sentiment or emotion when parts of the input are missing: "
        "repeating the figures above, comparing methods under the same protocol, studying what "
        "the network does.",
        "Samples of the same kind as the training data: the same language, situation and way of "
        "recording, the same feature extraction, labels that mean the same. For anything else, "
        "measure first.",
    ],
    not_intended=[
        "Decisions about a person, such as on work, education, credit, insurance, health care, "
        "policing or migration: no prediction is a ground for one on its own.",
        "Watching or ranking people, and anything that those recorded do not know of.",
        "Telling what somebody feels, means or is like, or whether somebody lies or is ill. A "
        "prediction is a guess at the label that annotators would give a recording.",
        "Persons, languages or situations that are not in the training data, and groups of people "
        "for whom nobody has measured the errors: this card has none by age, gender, accent or "
        "culture.",
    ],
    personal=_PERSONAL,
)
USE_SYNTHETIC = Use(
    intended=[
        "To check that the program works, and to study methods where the best possible prediction "
        "is known.",
    ],
    not_intended=[
        "Any use on people: the network has learnt from random numbers, and knows nothing of "
        "faces, voices or words.",
    ],
    personal="The built-in data are of no person; this is said for networks that are trained on "
    f"recordings. {_PERSONAL}",
)
RULES = [
    "Consent: those recorded know of this use and have agreed to it, and can change their mind.",
    "Purpose: it is fixed and told beforehand. Data and predictions serve nothing else, and are "
    "deleted when it is reached.",
    "No decision about a person rests on a prediction alone: somebody who knows the recording and "
    "its context decides, may disagree with the prediction, and answers for it.",
]
LAW = (
    "This is no legal advice. Which laws hold, and whether the licence of the data allows a use, "
    "is for whoever uses the network to find out."
)


def missingness(run: RunRecord) -> list[str]:
    """How views of training samples were made incomplete."""
    missing: Mapping[str, Any] = run["config"]["missing"]
    each = "view" if run["views"] == 1 else "views"
    step = f"A training step sees {run['views']} incomplete {each} of each sample, drawn anew"
    step += ", and one with nothing missing." if run["complete_view"] else "."
    return [
        step,
        f"Modalities: {_modalities_missing(missing)}.",
        f"Frames: {_frames_missing(missing)}.",
        "At least one frame of every sample stays observed.",
    ]


def _modalities_missing(missing: Mapping[str, Any]) -> str:
    rate, odds = missing["modality_rate"], missing["subset_weights"]
    if rate == 0 or set(odds) == {"all"}:
        return "none is taken away as a whole"
    if rate is not None:
        return (
            "a sample keeps one of those it has, drawn alike, and loses each other one with the "
            f"probability min(1, {rate:g} M / (M - 1)), M the number of modalities"
        )
    drawn = "one subset of those that a sample has is observed"
    if not odds:
        return f"{drawn}, each subset equally often"
    listed = ", ".join(f"{subset} {weight:g}" for subset, weight in odds.items())
    return f"{drawn}, drawn by the odds {listed}"


def _frames_missing(missing: Mapping[str, Any]) -> str:
    most, whole = missing["max_rate"], missing["whole_share"]
    if most == 0 or whole == 1:
        return "of what is observed none is taken away"
    if missing["fixed_rate"]:
        rate = f"of {most:g}"
    else:
        often = "once for a sample" if missing["shared_rate"] else "anew for each modality"
        rate = f"drawn from U(0, {most:g}), {often}"
    if missing["pattern"] == "block":
        words = f"of an observed modality one block of neighbours is missing, a share {rate}"
    else:
        words = f"each frame of an observed modality is missing with a probability {rate}"
    return words + (f"; with a probability of {whole:g} no frame of it" if whole else "")


def limits(results: Results, run: RunRecord) -> list[str]:
    """What the figures do not show, as far as the results themselves tell."""
    data = run["config"]["data"]
    found = [
        f"Evaluated on one data set of {results['n']} samples, and trained with one seed. Other "
        "data give other figures, and so does another seed."
    ]
    if data["source"] == "synthetic":
        found.append("The data are synthetic: no figure here says anything about people.")
    found += [*_not_independent(results, run), *_not_tested(results, run)]
    found.append(
        "A prediction for a sample of which nothing is observed is no evidence: it is the same for "
        "all such samples. The less is observed, the weaker the evidence."
    )
    if results["form"] == "number" and run["config"]["task"]["kind"] != "gaussian":
        found.append("A prediction comes without any measure of how sure it is.")
    return found


def _not_independent(results: Results, run: RunRecord) -> list[str]:
    """Why figures may be better than on samples that training has nothing to do with."""
    data, found = run["config"]["data"], []
    if results["split"] == "valid":
        found.append(
            "Evaluated on the validation split, by which the epoch was chosen: the figures are "
            "better than they would be on samples never used."
        )
    if results["split"] == "train":
        found.append(
            "Evaluated on the training split: the figures say what the network has fitted, not "
            "what it can predict."
        )
    if run["trained_on"]["fingerprint"] not in (None, results["data_fingerprint"]):
        found.append("Evaluated on other data than it was trained on.")
    if data["source"] == "file" and run["splits"][results["split"]]["groups"] is None:
        found.append(
            "Which samples are of the same person is not known: samples of one person may stand in "
            "training and in the evaluation, and the intervals count every sample as independent."
        )
    if data["allow_duplicates"]:
        found.append("The same sample was allowed to be in two of train, valid and test.")
    return found


def _not_tested(results: Results, run: RunRecord) -> list[str]:
    """What the protocol's conditions leave out."""
    modalities: Sequence[str] = run["config"]["data"]["modalities"]
    fixed = [c for c in results["protocol_description"]["conditions"] if "modalities" in c]
    whole = {frozenset(c["modalities"]) for c in fixed if c["frame_rate"] == 0}
    subsets = [s for k in range(1, len(modalities) + 1) for s in combinations(modalities, k)]
    left = ["+".join(subset) for subset in subsets if frozenset(subset) not in whole]
    gone = [c for c in fixed if 0 < c["frame_rate"] < 1]
    found = []
    if left:
        named = f": {', '.join(left)}" if len(left) <= NAMED else ""
        found.append(f"{len(left)} subsets of the modalities, each on its own and whole{named}")
    if not gone:
        found.append("single missing frames")
    elif all(len(c["modalities"]) == len(modalities) for c in gone):
        found.append("missing frames and missing modalities at once")
    found.append("missing frames in blocks, and noisy, shifted or wrong input")
    return [f"Not tested: {'; '.join(found)}."]
