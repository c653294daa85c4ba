"""The folder of MMIN: one HDF5 file a modality, one array an utterance, and lists of folds.

A/comparE.h5  V/denseface.h5  L/bert_large.h5  target/1/trn_label.npy  target/1/trn_int2name.npy
"""

from pathlib import Path

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.names import listed, names_of
from fsrf_jax.errors import DataError
from fsrf_jax.reading.hdf5 import open_hdf5, read_array
from fsrf_jax.reading.npz import read_npy


def recognises(path: Path) -> bool:
    """Whether it is such a folder, or that of a fold in it."""
    return path.is_dir() and _fold(path) is not None


def read(path: Path, modalities: tuple[str, ...]) -> Dataset:
    """Read the folder of MMIN.

    `language`, `audio` and `vision` are the HDF5 file in L, A and V; where there are several, the
    modality must have the name of a file, as `comparE`. Labels one-hot [n, c] are kept so.

    Args:
        path: the folder, of which fold 1 is read, or a fold: `FOLDER/target/3`.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the files, not cleaned yet.

    Raises:
        DataError: a file, or an utterance in it, lacks, or the folder is another.
    """
    path = Path(path)
    fold = _fold(path)
    if fold is None:
        raise DataError(
            f"{path} is no folder of MMIN; expected the folders A, V, L and target in it"
        )
    root = fold.parent.parent
    files = {m: _file(root, m) for m in modalities}
    others = sorted(f.name for f in fold.parent.iterdir() if f != fold and _is_fold(f))
    notes = [f"fold {fold.name} of target; for another give the path {root}/target/{others[0]}"]

    def split(name: str) -> Raw:
        ids = frames.as_ids(read_npy(fold / f"{name}_int2name.npy"))
        features, lengths = {}, {}
        for m, file in files.items():
            with open_hdf5(file) as content:
                lacking = [str(i) for i in ids if i not in content]
                if lacking:
                    raise DataError(
                        f"{file}: no utterance {lacking[0]!r} (and {len(lacking) - 1} others) of "
                        f"{name}_int2name.npy"
                    )
                sequences = [read_array(content[i]) for i in ids]
            features[m], counts = frames.padded(sequences, f"{file}, {name}")
            lengths[m] = ("", counts)
        labels = read_npy(fold / f"{name}_label.npy")
        return Raw(labels, features, lengths, ids)

    found = [name for name in ("trn", "val", "tst") if (fold / f"{name}_label.npy").is_file()]
    return assemble(path, found, split, modalities, notes if others else [])


def _is_fold(folder: Path) -> bool:
    return (folder / "trn_label.npy").is_file()


def _fold(path: Path) -> Path | None:
    """The folder of lists: the path itself, or the first one in `target`."""
    if _is_fold(path) and path.parent.name == "target":
        return path
    folds = [f for f in (path / "target").glob("*") if _is_fold(f)]
    return min(folds, default=None)


def _file(root: Path, modality: str) -> Path:
    """The HDF5 file of a modality."""
    folders = [root / name for name in names_of(modality) if (root / name).is_dir()]
    found = [f for d in folders for f in sorted(d.glob("*.h5")) if not f.stem.endswith("_mean_std")]
    if not folders:
        found = [f for f in root.glob(f"*/{modality}.h5") if len(f.parent.name) == 1]
    if len(found) == 1:
        return found[0]
    known = [f.stem for f in sorted(root.glob("[AVL]/*.h5")) if not f.stem.endswith("_mean_std")]
    raise DataError(
        f"{root}: {len(found)} files for the modality {modality!r}; expected one HDF5 file in its "
        f"folder (L, A or V), or the name of one as the modality; found {listed(known)}"
    )
