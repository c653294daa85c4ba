"""Makes the example data of the tutorials: invented recordings, as folders of features.

    python docs/example_data.py example

writes into the folder `example`:

    recordings/  240 utterances of 60 people: labels.csv, language/, audio/, vision/
    mistaken/    the same with two mistakes that are easily made
    new/         five utterances without labels, of which nobody filmed a face
"""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np

PEOPLE, EACH = 60, 4
WIDTHS = {"language": 16, "audio": 6, "vision": 8}
FRAMES = {"language": (4, 12), "audio": (12, 24), "vision": (8, 16)}  # shortest, longest
CLARITY = {"language": 1.0, "audio": 0.6, "vision": 0.5}  # how much each says of the sentiment


def main(place: Path) -> None:
    """Write the three folders; the same numbers every time."""
    rng = np.random.default_rng(7)
    directions = {m: rng.normal(size=width) for m, width in WIDTHS.items()}
    recordings, rows = place / "recordings", []
    for person in range(PEOPLE):
        split = "train" if person < 40 else "valid" if person < 48 else "test"
        habits = {m: rng.normal(size=width) for m, width in WIDTHS.items()}  # voice, face, words
        for number in range(EACH):
            name, sentiment = f"p{person:02}_{number}", rng.normal()
            write(recordings, name, utterance(rng, sentiment, habits, directions))
            label = np.clip(3 + sentiment + 0.2 * rng.normal(), 1, 5)  # 1 to 5, 3 is neutral
            rows.append((name, split, f"{label:.1f}", f"p{person:02}"))
    for name in ("p03_1", "p17_0", "p29_2", "p44_3", "p51_1"):
        (recordings / "vision" / f"{name}.npy").unlink()  # no face was found
    write_labels(recordings, rows)
    for number in range(5):
        habits = {m: rng.normal(size=width) for m, width in WIDTHS.items()}
        features = utterance(rng, number / 2 - 1, habits, directions)  # from sad to glad
        write(place / "new", f"new_{number}", {m: features[m] for m in ("language", "audio")})

    mistaken = shutil.copytree(recordings, place / "mistaken")
    for m, ending in (("language", "npy"), ("audio", "csv"), ("vision", "npy")):
        shutil.copy(mistaken / m / f"p00_0.{ending}", mistaken / m / f"again.{ending}")
    rows[7] = (rows[7][0], "test", *rows[7][2:])  # one of four utterances of a person
    write_labels(mistaken, [*rows, ("again", "test", *rows[0][2:])])


def utterance(rng, sentiment, habits, directions):
    """Raw features [frames, width] of each modality; they differ in length, as recordings do."""
    features = {}
    for m, (shortest, longest) in FRAMES.items():
        frames = rng.integers(shortest, longest, endpoint=True)
        heard = CLARITY[m] * sentiment * directions[m] + 0.7 * habits[m]
        heard = heard + rng.normal(size=WIDTHS[m])
        features[m] = heard + 2 * rng.normal(size=(frames, WIDTHS[m]))
    features["audio"][:, 5] = 16000  # the sampling rate, which a tool wrote beside the features
    return features


def write(folder, name, features):
    """One file of each modality: .csv of audio, .npy of the others."""
    for m, x in features.items():
        (folder / m).mkdir(parents=True, exist_ok=True)
        if m == "audio":
            np.savetxt(folder / m / f"{name}.csv", x, fmt="%.4f", delimiter=",")
        else:
            np.save(folder / m / f"{name}.npy", x.astype(np.float32))


def write_labels(folder, rows):
    """labels.csv: a row a sample."""
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("id", "split", "label", "group"), *rows])


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit(f"expected one folder that is not there yet, found {sys.argv[1:]}")
    main(Path(sys.argv[1]))
