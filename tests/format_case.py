"""One small world of samples, and a writer of it for every format that can be read."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

SIZES = {"train": 24, "valid": 8, "test": 8}
WIDTHS = {"language": 5, "audio": 3, "vision": 2}
FRAMES = 4
CLASSES = ("angry", "happy", "neutral")


@dataclass(frozen=True)
class Sample:
    """All modalities have the same frames: words; no feature is zero."""

    video: str
    number: int
    label: float
    words: list[str]
    sequences: dict[str, np.ndarray]

    @property
    def id(self) -> str:
        return f"{self.video}[{self.number}]"


def world() -> dict[str, list[Sample]]:
    rng = np.random.default_rng(0)
    splits = {}
    for split, n in SIZES.items():
        splits[split] = []
        for i in range(n):
            t, label = 2 + i % (FRAMES - 1), (i % 5 - 2) / 1.0
            sequences = {m: label + rng.normal(size=(t, f)) for m, f in WIDTHS.items()}
            words = [f"word{(i + k) % 7}" for k in range(t)]
            splits[split].append(Sample(f"{split}{i // 4}", i % 4, label, words, sequences))
    return splits


WORLD = world()


def padded(samples, m, front=False):
    out = np.zeros((len(samples), FRAMES, WIDTHS[m]))
    for row, sample in zip(out, samples, strict=True):
        x = sample.sequences[m]
        row[FRAMES - len(x) if front else 0 :][: len(x)] = x
    return out


def lengths(samples):
    return [len(sample.words) for sample in samples]


def labels(samples):
    return np.array([sample.label for sample in samples])


def classes(samples):
    """Class numbers that the labels tell."""
    return np.digitize(labels(samples), (-0.5, 0.5))


def bert(samples, front=False, swapped=False):
    """Token ids, attention mask and segments [n, 3, t]."""
    out = np.zeros((len(samples), 3, FRAMES))
    for row, sample in zip(out, samples, strict=True):
        t = len(sample.words)
        at = slice(FRAMES - t, None) if front else slice(t)
        row[0, at], row[2 if swapped else 1, at] = 100 + np.arange(t), 1
    return out


def to_pickle(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def mmsa_table(samples, *, aligned=False, front=False):
    table = {
        "id": [f"{s.video}$_${s.number}" for s in samples],
        "raw_text": np.array([" ".join(s.words) for s in samples]),
        "annotations": ["Positive"] * len(samples),
        "text": padded(samples, "language", front).astype(np.float32),
        "text_bert": bert(samples, front),
        "audio": padded(samples, "audio", front),
        "vision": padded(samples, "vision", front),
        "regression_labels": labels(samples).tolist(),
        "classification_labels": classes(samples),
    }
    if not aligned:
        table |= {f"{key}_lengths": lengths(samples) for key in ("audio", "vision")}
    return table


def mmsa(folder: Path, **kwargs) -> Path:
    content = {name: mmsa_table(samples, **kwargs) for name, samples in WORLD.items()}
    return to_pickle(folder / "unaligned_50.pkl", content)


def mmsa_fet(folder: Path) -> Path:
    """What MMSA-FET writes: padding at the front, the settings beside the splits."""
    content = {n: mmsa_table(s, aligned=True, front=True) for n, s in WORLD.items()}
    for table in content.values():
        del table["classification_labels"]
    return to_pickle(folder / "fet.pkl", {**content, "config": {"align": "bert"}, "align": "text"})


def sims_v2(folder: Path) -> Path:
    """SIMS v2: labels of each modality, and a part that is partly not labelled."""
    content = {name: mmsa_table(samples) for name, samples in WORLD.items()}
    mixed = mmsa_table(WORLD["train"][:6])
    mixed["regression_labels"][3:] = [np.nan] * 3
    content["train_mix"] = mixed
    for table in content.values():
        table |= {f"regression_labels_{m}": table["regression_labels"] for m in "TAV"}
    return to_pickle(folder / "sims_v2.pkl", content)


def mult(folder: Path, labels_of=lambda samples: labels(samples)[:, None, None]) -> Path:
    content = {}
    for name, samples in WORLD.items():
        ids = [(s.video.encode(), str(s.number).encode(), b"1.5") for s in samples]
        content[name] = {
            "text": padded(samples, "language", front=True),
            "audio": padded(samples, "audio", front=True),
            "vision": padded(samples, "vision", front=True),
            "labels": labels_of(samples),
            "id": np.array(ids),
        }
    return to_pickle(folder / "mosi_data.pkl", content)


def tasks(samples):
    """Four binary tasks of numbers: above -1.5, -0.5, 0.5 and 1.5."""
    return (labels(samples)[:, None] > np.array([-1.5, -0.5, 0.5, 1.5])).astype(float)


def mult_iemocap(folder: Path) -> Path:
    """Four binary tasks, each one-hot."""
    return mult(folder, lambda s: np.stack([1 - tasks(s), tasks(s)], axis=2))


def multibench(folder: Path) -> Path:
    """As MulT, with another order of keys, ids as text and labels [n, 1]."""
    content = {}
    for name, samples in WORLD.items():
        content[name] = {
            "vision": padded(samples, "vision", front=True).astype(np.float32),
            "audio": padded(samples, "audio", front=True).astype(np.float32),
            "text": padded(samples, "language", front=True).astype(np.float32),
            "labels": labels(samples)[:, None],
            "id": np.array([s.id for s in samples]),
        }
    return to_pickle(folder / "mosi_raw.pkl", content)


def word_tuple(sample: Sample, with_ids: bool):
    visual, acoustic = sample.sequences["vision"], sample.sequences["audio"]
    ids = np.arange(len(sample.words))
    parts = (ids, visual, acoustic, sample.words) if with_ids else (sample.words, visual, acoustic)
    return parts, np.array([[sample.label]]), sample.id


def mag(folder: Path) -> Path:
    content = {
        {"valid": "dev"}.get(name, name): [word_tuple(s, with_ids=False) for s in samples]
        for name, samples in WORLD.items()
    }
    return to_pickle(folder / "mosi.pkl", content)


def misa(folder: Path) -> Path:
    for name, samples in WORLD.items():
        file = folder / "misa" / f"{ {'valid': 'dev'}.get(name, name) }.pkl".replace(" ", "")
        to_pickle(file, [word_tuple(s, with_ids=True) for s in samples])
    (folder / "misa" / "embedding_and_mapping.pt").write_bytes(b"PK\3\4")
    return folder / "misa"


def mmin(folder: Path) -> Path:
    root = folder / "mmin"
    files = {"language": "L/bert_large", "audio": "A/comparE", "vision": "V/denseface"}
    for m, name in files.items():
        (root / name).parent.mkdir(parents=True)
        with h5py.File(root / f"{name}.h5", "w") as file:
            for sample in (s for samples in WORLD.values() for s in samples):
                file[sample.id] = sample.sequences[m].astype(np.float32)
    with h5py.File(root / "A" / "comparE_mean_std.h5", "w") as file:
        file["1/mean"] = np.zeros(3)
    for fold in ("1", "2", "10"):
        (root / "target" / fold).mkdir(parents=True)
        for name, short in (("train", "trn"), ("valid", "val"), ("test", "tst")):
            samples = WORLD[name] if fold == "1" else WORLD[name][:3]
            start = root / "target" / fold / short
            np.save(f"{start}_label.npy", np.eye(3)[classes(samples)])
            np.save(f"{start}_int2name.npy", np.array([[s.id.encode()] for s in samples]))
    return root


def gcnet(folder: Path, with_valid=True) -> Path:
    root, samples = folder / "gcnet", [s for of_split in WORLD.values() for s in of_split]
    for sample in samples:
        for m in ("audio", "vision"):
            place = root / "features" / m / sample.id
            if m == "vision" and sample.number == 1:  # a face a file
                place.mkdir(parents=True)
                for k, frame in enumerate(sample.sequences[m]):
                    np.save(place / f"{k:03}.npy", frame)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                np.save(f"{place}.npy", sample.sequences[m])
    videos = list(dict.fromkeys(s.video for s in samples))

    def by_video(value):
        return {v: [value(s) for s in samples if s.video == v] for v in videos}

    of_split = [{s.video for s in WORLD[n]} for n in SIZES if with_valid or n != "valid"]
    maps = [by_video(f) for f in (lambda s: s.id, lambda s: s.label, lambda s: "", str)]
    to_pickle(root / "CMUMOSI_features_raw_2way.pkl", [*maps, *of_split])
    return root


def csd(folder: Path) -> Path:
    """A word lasts a second, a modality has two frames a word whose mean is that of the world."""
    root = folder / "csd"
    root.mkdir()
    with_pauses = {"CMU_MOSI_TimestampedWords": "words", "CMU_MOSI_TimestampedWordVectors": None}
    of = {"CMU_MOSI_TimestampedWordVectors": "language", "CMU_MOSI_COVAREP": "audio"}
    of |= {"CMU_MOSI_Visual_Facet_42": "vision"}
    videos: dict[str, list[Sample]] = {}
    for sample in (s for samples in WORLD.values() for s in samples):
        videos.setdefault(sample.video, []).append(sample)
    for stem in (*of, "CMU_MOSI_TimestampedWords", "CMU_MOSI_Opinion_Labels"):
        with h5py.File(root / f"{stem}.csd", "w") as file:
            for video, samples in videos.items():
                features, intervals, now = [], [], 0.0
                for s in samples:
                    end = now + len(s.words)
                    for k, word in enumerate(s.words):
                        start = now + k
                        if stem in of and stem not in with_pauses:
                            shift = 0.5 + np.arange(WIDTHS[of[stem]])
                            features += [s.sequences[of[stem]][k] + d * shift for d in (-1, 1)]
                            intervals += [(start, start + 0.5), (start + 0.5, start + 1)]
                        elif stem in of:
                            features.append(s.sequences["language"][k])
                            intervals.append((start, start + 1))
                        elif stem.endswith("Words"):
                            features.append([word.encode()])
                            intervals.append((start, start + 1))
                    if stem.endswith("Labels"):
                        features.append([s.label])
                        intervals.append((now, end + 0.4))
                    elif stem.endswith("Words"):
                        features.append([b"sp"])
                        intervals.append((end, end + 1))
                    now = end + 1
                group = file.create_group(f"{stem} root/data/{video}")
                # A recording need not be in the order of time.
                order = np.arange(len(features)) if "Labels" in stem else slice(None, None, -1)
                group["features"] = np.array(features)[order]
                group["intervals"] = np.array(intervals)[order]
            file[f"{stem} root/metadata/root name"] = [stem.encode()]
    folds = {name: list(dict.fromkeys(s.video for s in WORLD[name])) for name in SIZES}
    (root / "folds.json").write_text(json.dumps(folds))
    return root


def samples(folder: Path) -> Path:
    """A folder of one's own: arrays as .npy, those of vision as .csv; names of classes."""
    root = folder / "samples"
    rows = ["id,split,label,group"]
    for name, of_split in WORLD.items():
        for sample in of_split:
            rows.append(f"{sample.id},{name},{CLASSES[classes([sample])[0]]},{sample.video}")
            for m, values in sample.sequences.items():
                place = root / m / sample.id
                place.parent.mkdir(parents=True, exist_ok=True)
                if m == "vision":
                    np.savetxt(f"{place}.csv", values, delimiter=",", header="a,b", comments="")
                else:
                    np.save(f"{place}.npy", values)
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def arrays_of(split, samples):
    keys = {m: padded(samples, m) for m in WIDTHS}
    keys |= {f"{m}_lengths": np.array(lengths(samples)) for m in WIDTHS}
    ids = np.array([s.id for s in samples])
    groups = np.array([s.video for s in samples])
    keys |= {"label": labels(samples), "id": ids, "group": groups}
    return {f"{split}_{key}": value for key, value in keys.items()}


def npz(folder: Path) -> Path:
    content = {}
    for split, of_split in WORLD.items():
        content |= arrays_of(split, of_split)
    np.savez(folder / "arrays.npz", **content)
    return folder / "arrays.npz"


def hdf5(folder: Path) -> Path:
    """A group a split."""
    with h5py.File(folder / "groups.h5", "w") as file:
        for split, of_split in WORLD.items():
            for key, values in arrays_of(split, of_split).items():
                values = values.astype(bytes) if values.dtype.kind == "U" else values
                file[key.replace("_", "/", 1)] = values
    return folder / "groups.h5"


def mapping(folder: Path) -> Path:
    """Arrays under names of one's own."""
    content = {}
    for split, short in (("train", "tr"), ("valid", "va"), ("test", "te")):
        of_split = WORLD[split]
        content |= {f"{short}_X_{m[0]}": padded(of_split, m) for m in WIDTHS}
        content |= {f"{short}_y": labels(of_split), f"{short}_n": np.array(lengths(of_split))}
        content |= {f"{short}_who": np.array([s.id for s in of_split])}
        content |= {f"{short}_video": np.array([s.video for s in of_split])}
    np.savez(folder / "mine.npz", **content)
    text = """
file: mine.npz
splits: {train: tr, valid: va, test: te}
label: "{split}_y"
id: "{split}_who"
group: "{split}_video"
modalities: {language: "{split}_X_l", audio: "{split}_X_a", vision: "{split}_X_v"}
lengths: {language: "{split}_n", audio: "{split}_n", vision: "{split}_n"}
"""
    (folder / "mine.yaml").write_text(text)
    return folder / "mine.yaml"


@dataclass(frozen=True)
class Case:
    """A format, what its file is, and what is to be read from it."""

    format: str
    write: Callable[[Path], Path]
    modalities: tuple[str, ...] = tuple(WIDTHS)
    labels: Callable = labels
    id: Callable[[Sample], str] = field(default=lambda sample: sample.id)
    groups: bool = True
    front: bool = False
    form: str = "number"


def _joined(sample):
    return f"{sample.video}$_${sample.number}"


def _timed(sample):
    return f"{_joined(sample)}$_$1.5"


_WORDS = {"modalities": ("audio", "vision")}
_MMSA = {"id": _joined}
_MULT = {"id": _timed, "front": True}
CASES = {
    "mmsa unaligned": Case("mmsa", mmsa, **_MMSA),
    "mmsa aligned": Case("mmsa", lambda folder: mmsa(folder, aligned=True), **_MMSA),
    "mmsa-fet": Case("mmsa", mmsa_fet, **_MMSA, front=True),
    "sims v2": Case("mmsa", sims_v2, **_MMSA),
    "mult": Case("mult", mult, **_MULT),
    "mult iemocap": Case("mult", mult_iemocap, **_MULT, labels=tasks, form="binary"),
    "multibench": Case("mult", multibench, groups=False, front=True),
    "mag": Case("words", mag, **_WORDS),
    "misa": Case("words", misa, **_WORDS),
    "mmin": Case("mmin", mmin, labels=lambda s: np.eye(3)[classes(s)], groups=False, form="class"),
    "gcnet": Case("gcnet", gcnet, **_WORDS),
    "csd": Case("csd", csd),
    "samples": Case("samples", samples, labels=classes, form="class"),
    "npz": Case("arrays", npz),
    "hdf5 groups": Case("arrays", hdf5),
    "mapping": Case("mapping", mapping),
}
