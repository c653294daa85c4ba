"""`predict`: samples of any file or folder, with or without labels, by a run's best network."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.api import load
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.reading import add_checkpoint
from fsrf_jax.data.load import Format
from fsrf_jax.data.names import listed
from fsrf_jax.experiments.predict import Asked, Summary, predict_files
from fsrf_jax.progress import steps

DESCRIPTION = """Predict samples by the best network of a run folder. An input is any file or folder
that bin/train reads, whose labels are not looked at; an .npz, HDF5 or pickled file with arrays
under the names of the modalities, of one sample [t, f] or of several [n, t, f]; a folder of such
files, one a sample; or a folder with a folder of .npy or .csv files, one a sample, for each
modality. Cleaning and normalisation are the run's own. Gaps are missing; nothing else is masked.

  predict runs/mosi recordings/ --output predictions.csv

The columns: id; prediction, or prediction_NAME, the probability of a class or task; std where the
network has one; observed_MODALITY, the share of its frames that was there. --explain adds what each
prediction owes to the modalities (shapley_MODALITY; with nothing, the prediction with none of them,
they sum to the prediction) and the frame_MODALITY that matters most, with the change_MODALITY that
taking it away undoes. Samples that cannot be read are listed in FILE.unread.csv; the status is then
1, and all others are predicted."""

_FEW = 5


def command(argv: Sequence[str]) -> int:
    """Run `predict` with these arguments and return the exit status."""
    parser = jsonargparse.ArgumentParser(
        prog="predict", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("run", metavar="RUN", help="run folder, made by train, or an export")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="file or folder to predict")
    parser.add_argument(
        "--output", metavar="FILE", required=True, help=".csv, .jsonl or .npz; must not exist"
    )
    parser.add_argument("--codes", action="store_true", help="also the codes (.npz and .jsonl)")
    parser.add_argument(
        "--explain", action="store_true", help="also Shapley values, and a figure of them"
    )
    parser.add_argument(
        "--modalities",
        type=tuple[str, ...] | None,
        default=None,
        help="those to look for; the others are missing; default: all of the run",
    )
    parser.add_argument(
        "--splits", type=tuple[str, ...], default=(), help="splits to predict; default: all"
    )
    parser.add_argument("--format", type=Format, default="auto", help="format of the inputs")
    parser.add_argument(
        "--rows", type=int | None, default=None, help="samples at a time; default: the run's"
    )
    add_checkpoint(parser)
    parsed = arguments.parse_plain(parser, argv)
    console = Console()
    say = partial(console.out, highlight=False)
    network = load(parsed.run, checkpoint=parsed.checkpoint, say=say).network
    asked = Asked(
        codes=parsed.codes,
        explain=parsed.explain,
        modalities=parsed.modalities,
        splits=parsed.splits,
        format=parsed.format,
        rows=parsed.rows,
    )
    with steps(Console(stderr=True)) as step:
        inputs = [Path(path) for path in parsed.inputs]
        summary = predict_files(network, inputs, Path(parsed.output), asked, step)
    for line in _lines(summary):
        say(line)
    return 1 if summary.unread else 0


def _lines(summary: Summary) -> list[str]:
    lines = [f"Predicted: {summary.predicted} samples"]
    if summary.without:
        lines.append(f"- without {listed(summary.without)}, which no sample has")
    if summary.label_shift:
        lines.append(
            "- predictions are on the scale of training: subtract data.label_shift "
            f"({summary.label_shift:g}) for that of the data"
        )
    if summary.empty:
        lines.append(
            f"- {summary.empty} samples have nothing observed: what stands there is what the "
            "network says of any such sample"
        )
    if summary.unread:
        lines.append(f"- {len(summary.unread)} samples could not be read:")
        lines += [f"  {name}: {reason}" for name, reason in summary.unread[:_FEW]]
        lines += ["  .."] if len(summary.unread) > _FEW else []
    return [*lines, *(f"Written: {path}" for path in summary.files)]


main = guarded(command)
