"""Kinds of files that are not read, and the line that makes of them one that is."""

from pathlib import Path

from fsrf_jax.reading import npz, signature

_SAVE = (
    "import numpy; numpy.savez('{stem}.npz', "
    "**{{f'{{s}}_{{k}}': {value} for s in d for k in d[s]}})"
)
_LINES = {
    "torch": "import torch; d = torch.load('{name}', map_location='cpu'); "
    + _SAVE.replace("{value}", "torch.as_tensor(d[s][k]).numpy()"),
    "joblib": "import joblib; d = joblib.load('{name}'); " + _SAVE.replace("{value}", "d[s][k]"),
}


def advice(path: Path) -> str:
    """What a file is and what to do with it, for a message; empty where nothing is known.

    The lines for torch and joblib run what the file asks for: they are for files that one trusts.
    """
    kind = signature.kind(path)
    suffix = path.suffix.lower()
    if kind == "zip" and not _has_arrays(path):
        if any(name.endswith("/data.pkl") for name in npz.members(path)):
            return _python(path, "a file of torch.save", "torch")
        return f"an archive; unpack it and give what is in it: unzip {path.name}"
    if kind == "gzip":
        return f"a compressed file; unpack it and give what is in it: gunzip -k {path.name}"
    if suffix in (".pt", ".pth", ".dt"):
        return _python(path, "a file of torch.save", "torch")
    if suffix == ".joblib":
        return _python(path, "a file of joblib", "joblib")
    if suffix == ".csv":
        return (
            "a table; give a folder with labels.csv (columns id, split, label) and, for each "
            "modality, a folder of one .npy or .csv a sample"
        )
    return ""


def _python(path: Path, what: str, kind: str) -> str:
    line = _LINES[kind].format(name=path.name, stem=path.stem)
    return f'{what}; if you trust it, make plain arrays of it: python -c "{line}"'


def _has_arrays(path: Path) -> bool:
    """Whether it is an .npz; a damaged one counts as that."""
    members = npz.members(path)
    return not members or any(name.endswith(".npy") for name in members)
