"""`export`: the network of a run in a folder of its own, to be kept and to be given to others."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.api import load
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.reading import add_checkpoint
from fsrf_jax.reading.limits import readable

DESCRIPTION = """Write the best network of a run folder into a folder of its own: weights, config
and a description, which last, and a program that JAX runs without this package. RUN may be such a
folder as well: its program is then made anew, since later versions of JAX read one for about six
months only. docs/export.md describes the files.

  export runs/one --output one"""


def command(argv: Sequence[str]) -> int:
    """Run `export` with these arguments and return the exit status."""
    parser = jsonargparse.ArgumentParser(
        prog="export", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("run", metavar="RUN", help="run folder, made by train, or an export")
    parser.add_argument(
        "--output", metavar="FOLDER", required=True, help="folder to write; must not exist"
    )
    add_checkpoint(parser)
    parsed = arguments.parse_plain(parser, argv)
    say = partial(Console().out, highlight=False)
    load(parsed.run, checkpoint=parsed.checkpoint, say=say).export(parsed.output)
    for path in sorted(Path(parsed.output).iterdir()):
        say(f"Written: {path} ({readable(path.stat().st_size)})")
    return 0


main = guarded(command)
