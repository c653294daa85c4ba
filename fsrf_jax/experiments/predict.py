"""Files in, a file of predictions out: any number of samples, some at a time."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.names import hint, listed
from fsrf_jax.data.streaming.stream import stream
from fsrf_jax.data.streaming.wanted import Unread, Wanted
from fsrf_jax.errors import ConfigError, DataError
from fsrf_jax.evaluation.shapley import MOST_PLAYERS
from fsrf_jax.experiments.network import Network
from fsrf_jax.experiments.prediction_columns import (
    explained_columns,
    prediction_columns,
    shapley_of_prediction,
)
from fsrf_jax.reporting.explain_plot import SHOWN, Explained, save_explained
from fsrf_jax.reporting.prediction_files import WRITERS, write_unread, writer


@dataclass(frozen=True)
class Asked:
    """What is to be predicted and written.

    Attributes:
        codes: also the codes of every sample.
        explain: also what each prediction owes to modalities and frames.
        modalities: that are looked for; None: all that were trained on.
        splits: of the data; empty: all.
        format: of the data.
        rows: samples at a time; None: as in the evaluation.
    """

    codes: bool = False
    explain: bool = False
    modalities: tuple[str, ...] | None = None
    splits: tuple[str, ...] = ()
    format: str = "auto"
    rows: int | None = None


@dataclass
class Summary:
    """How it went.

    Attributes:
        predicted: number of samples.
        empty: of them, those with nothing observed: their prediction is the same for all.
        without: modalities that no sample has.
        label_shift: what training added to every label, and is in predicted numbers as well.
        unread: samples that could not be read.
        files: what was written.
    """

    predicted: int = 0
    empty: int = 0
    without: tuple[str, ...] = ()
    label_shift: float = 0.0
    unread: list[Unread] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def predict_files(
    network: Network,
    inputs: Sequence[Path],
    output: Path,
    asked: Asked,
    step: Callable[[str], None] = lambda what: None,
) -> Summary:
    """Predict the samples of files and folders; the output is there whole, or not at all.

    `OUTPUT.unread.csv` lists the samples that could not be read, `OUTPUT.explained.png` shows what
    the predictions owe to their parts (OUTPUT without its ending).

    Args:
        network: of a run.
        inputs: files and folders.
        output: a new file, .csv, .jsonl or .npz.
        asked: what is to be written.
        step: is called with what was done.

    Raises:
        ConfigError: the output cannot be written, or options do not fit.
        DataError: an input cannot be read or does not fit, or has no sample that can be read.
    """
    _check(network, output, asked)
    numbers = network.recipe.task.form == "number"
    summary = Summary(label_shift=network.config.data.label_shift if numbers else 0.0)
    seen = dict.fromkeys(network.shapes.features, False)
    owed = _Owed(tuple(network.shapes.features))
    with writer(output) as append:
        for part, of_input in _parts(network, inputs, asked):
            if isinstance(part, Unread):
                summary.unread.append(part)
                continue
            found = network.predict_split(part, codes=asked.codes)
            columns = {"id": part.ids, **of_input, **prediction_columns(network, found)}
            if asked.explain:
                explanation = network.explain_split(part)
                columns |= explained_columns(
                    network, found, explanation, lists=output.suffix != ".csv"
                )
                owed.add(part.ids, shapley_of_prediction(network, found, explanation))
            append(columns)
            there = {m: share > 0 for m, share in found.observed.items()}
            seen = {m: seen[m] or bool(some.any()) for m, some in there.items()}
            summary.predicted += len(part)
            summary.empty += int((~np.any(list(there.values()), axis=0)).sum())
            step(f"{summary.predicted} samples predicted")
        if not summary.predicted:
            raise DataError(_nothing_read(inputs, summary.unread))
        # Before the output, which is there only once all else is.
        summary.files.append(output)
        if summary.unread:
            write_unread(path := output.with_suffix(".unread.csv"), summary.unread)
            summary.files.append(path)
        if asked.explain:
            drawn = owed.drawn(network.recipe.task.form)
            save_explained(path := output.with_suffix(".explained.png"), drawn)
            summary.files.append(path)
    summary.without = tuple(m for m, some in seen.items() if not some)
    return summary


def _check(network: Network, output: Path, asked: Asked) -> None:
    if output.suffix not in WRITERS or not output.absolute().parent.is_dir():
        raise ConfigError(
            f"--output: found {output}, expected a file ending in {listed(WRITERS)} in a folder "
            "that is there."
        )
    companions = [output.with_suffix(".unread.csv")]
    companions += [output.with_suffix(".explained.png")] if asked.explain else []
    for path in (output, *companions):
        if path.exists():
            raise ConfigError(
                f"--output: {path} exists already; remove it, or choose another name."
            )
    if asked.codes and output.suffix == ".csv":
        raise ConfigError(
            "--codes: a .csv has no room for codes; give --output FILE.npz or .jsonl."
        )
    if asked.rows is not None and asked.rows < 1:
        raise ConfigError(f"--rows: found {asked.rows}, expected a number from 1.")
    known = tuple(network.shapes.features)
    if asked.modalities == ():
        raise ConfigError(f"--modalities: found none, expected some of {listed(known)}.")
    if asked.explain and len(known) > MOST_PLAYERS:
        raise ConfigError(
            f"--explain: the run has {len(known)} modalities; expected at most {MOST_PLAYERS}, "
            "because all of their subsets are predicted."
        )
    for m in asked.modalities or ():
        if m not in known:
            raise ConfigError(
                f"--modalities: found {m!r}, expected some of {listed(known)}{hint(m, known)}."
            )


def _parts(
    network: Network, inputs: Sequence[Path], asked: Asked
) -> Iterator[tuple[Split | Unread, dict[str, np.ndarray]]]:
    """The samples, and the column that tells of which input they are, where there are several."""
    shapes = network.shapes
    wanted = Wanted(
        widths=shapes.features,
        modalities=asked.modalities or tuple(shapes.features),
        tokens=tuple(shapes.vocabulary),
        rows=asked.rows or network.config.evaluation.batch_size,
        splits=asked.splits,
        strict=asked.modalities is None,
    )
    for path in inputs:
        seen: set[int] = set()  # digests take less room than the ids
        for part in stream(path, wanted, asked.format):
            if isinstance(part, Unread):
                yield part, {}
                continue
            part = dataclasses.replace(part, ids=np.array([_printable(i) for i in part.ids]))
            _check_new(path, part.ids, seen)
            yield part, {"input": np.array([str(path)] * len(part))} if len(inputs) > 1 else {}


def _printable(name: str) -> str:
    """An id that every file can hold: no control characters, and what is no text escaped."""
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _check_new(path: Path, ids: np.ndarray, seen: set[int]) -> None:
    for name in ids.tolist():
        if hash(name) in seen:
            raise DataError(
                f"{path}: the id {name!r} occurs more than once; expected different ones: choose "
                "among splits by --splits, or rename one"
            )
        seen.add(hash(name))


class _Owed:
    """What the figure shows: of all samples the sums, of the first ones all."""

    def __init__(self, modalities: Sequence[str]) -> None:
        self._n = 0
        self._sums = dict.fromkeys(modalities, 0.0)
        self._ids: list[str] = []
        self._first: dict[str, list[float]] = {m: [] for m in modalities}

    def add(self, ids: np.ndarray, shapley: Mapping[str, np.ndarray]) -> None:
        room = SHOWN - len(self._ids)
        self._n += len(ids)
        self._ids += ids[:room].tolist()
        for m, x in shapley.items():
            self._sums[m] += float(np.abs(x).sum())
            self._first[m] += x[:room].tolist()

    def drawn(self, form: str) -> Explained:
        what = {
            "number": "prediction",
            "class": "likeliest class's probability",
            "binary": "task that it matters most to",
        }
        mean = {m: total / self._n for m, total in self._sums.items()}
        return Explained(what[form], self._n, mean, self._ids, self._first)


def _nothing_read(inputs: Sequence[Path], unread: Sequence[Unread]) -> str:
    where = listed(inputs)
    if not unread:
        return f"{where}: found no sample; expected one or more"
    return f"{where}: none of {len(unread)} samples could be read; the first: {unread[0].reason}"
