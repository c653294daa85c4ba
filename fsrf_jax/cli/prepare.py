"""`prepare`: any readable data becomes one file of the project's own format, with a report."""

import json
from collections.abc import Sequence
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.cli.main import guarded
from fsrf_jax.data import load, overlaps, store
from fsrf_jax.data.clean import BadValues
from fsrf_jax.data.profile import profile
from fsrf_jax.data.rounding import Precision
from fsrf_jax.files import write_text
from fsrf_jax.progress import steps
from fsrf_jax.reporting.profile import findings, report_lines, save_profile

DESCRIPTION = """Read data of any known format, clean them, report what they hold and what is odd
about them, and write them as one HDF5 file that loads fast and cannot run code. The labels and
splits stay as they are. The report is printed, and written as STORE.report.json and
STORE.report.png (without the .h5) next to the store.

  prepare aligned_50.pkl --output mosi.h5"""


def command(argv: Sequence[str]) -> int:
    """Run `prepare` with these arguments and return the exit status."""
    parser = jsonargparse.ArgumentParser(
        prog="prepare", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("source", metavar="SOURCE", help="data file or folder to read")
    parser.add_argument(
        "--output", metavar="STORE", required=True, help="file to write; must not exist"
    )
    parser.add_argument(
        "--modalities",
        type=tuple[str, ...],
        default=("language", "audio", "vision"),
        help="names of the modalities to read",
    )
    parser.add_argument("--format", type=load.Format, default="auto", help="format of SOURCE")
    parser.add_argument(
        "--bad_values",
        type=BadValues,
        default="zero",
        help="a NaN or infinite value: its column's training mean, or its frame or column left out",
    )
    parser.add_argument(
        "--allow_duplicates",
        action="store_true",
        help="let samples with the same id or features be in two of train, valid and test",
    )
    parser.add_argument(
        "--compression",
        type=store.Compression,
        default="none",
        help="of the features; lzf: a smaller store, whose samples are read more slowly",
    )
    parser.add_argument(
        "--dtype",
        type=Precision,
        default="float32",
        help="of the features in the store; float16: half the size, rounded, and said how much",
    )
    parsed = arguments.parse_plain(parser, argv)
    target, console = Path(parsed.output), Console()
    store.check_new(target)
    with steps(Console(stderr=True)) as step:
        step(f"reading {parsed.source}")
        raw = load.read(parsed.source, parsed.modalities, parsed.format, stays=True)
        step("cleaning")
        dataset = load.cleaned(raw, parsed.bad_values)
        step("comparing samples")
        shared = overlaps.find(dataset)
        found = profile(dataset, raw, shared, step)
        del raw
    notes = [*dataset.notes, *findings(found)]
    for line in (*report_lines(found), *(f"- {note}" for note in notes)):
        console.out(line, highlight=False)
    for note in overlaps.check(shared, parsed.allow_duplicates):
        notes.append(note)
        console.out(f"- {note}", highlight=False)
    with steps(Console(stderr=True)) as step:
        store.write(target, dataset, step, parsed.compression, parsed.dtype)
    for note in store.notes(target)[len(dataset.notes) :]:  # on what float16 changes
        notes.append(note)
        console.out(f"- {note}", highlight=False)
    report, picture = (target.with_suffix(f".report.{kind}") for kind in ("json", "png"))
    write_text(report, json.dumps({**found, "notes": notes}, indent=1, allow_nan=False) + "\n")
    save_profile(picture, found)
    for path in (target, report, picture):
        console.out(f"Written: {path}", highlight=False)
    return 0


main = guarded(command)
