"""`prepare`: any readable data file becomes one file of the project's own format."""

from collections.abc import Sequence
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.cli.main import guarded
from fsrf_jax.data import load, store
from fsrf_jax.data.describe import describe

DESCRIPTION = """Read a data file, clean it, show what it holds, and write it as one HDF5 file
that loads fast and cannot run code. The labels and splits stay as they are."""


def command(argv: Sequence[str]) -> int:
    """Run `prepare` with these arguments and return the exit status."""
    parser = jsonargparse.ArgumentParser(
        prog="prepare", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("source", metavar="FILE", help="data file or folder to read")
    parser.add_argument("target", metavar="STORE", help="file to write; must not exist")
    parser.add_argument(
        "--modalities",
        type=tuple[str, ...],
        default=("language", "audio", "vision"),
        help="names of the modalities to read",
    )
    parser.add_argument("--format", type=load.Format, default="auto", help="format of FILE")
    parsed = arguments.parse_plain(parser, argv)
    dataset = load.load(parsed.source, parsed.modalities, format=parsed.format)
    store.write(Path(parsed.target), dataset)
    console = Console()
    console.out(describe(dataset), highlight=False)
    for note in dataset.notes:
        console.out(f"- {note}", highlight=False)
    console.out(f"Written: {parsed.target}", highlight=False)
    return 0


main = guarded(command)
