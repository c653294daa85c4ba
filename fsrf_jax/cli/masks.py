"""`masks`: the test masks of a protocol as a file, for programs of others."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.cli.main import guarded
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.metrics.figures import mean_of
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.protocols.mask_files import write_masks
from fsrf_jax.evaluation.protocols.masks import make_observer, missing_shares
from fsrf_jax.reporting.numbers import percent
from fsrf_jax.source import open_source

DESCRIPTION = """Write the test masks of a config's protocol, split and mask seeds to FILE.npz, so
that any other program can be tested on the very same masks (bin/evaluate --predictions scores it).
Of the config only the sections data and evaluation matter; docs/protocols.md describes the file."""


def command(argv: Sequence[str]) -> int:
    """Run `masks` with these arguments and return the exit status."""
    parser = arguments.make_parser("masks", DESCRIPTION, argv, usage="FILE.npz")
    parser.add_argument("file", metavar="FILE.npz", help="file to write; replaced if it exists")
    config, options = arguments.parse(parser, argv)
    path, settings = Path(options.file), config.evaluation
    if path.suffix != ".npz" or not path.parent.is_dir():
        raise ConfigError(f"FILE: found {path}, expected FILE.npz in an existing folder.")
    protocol = resolve(settings.protocol, config.data.modalities)
    source = open_source(config.data, config.task.form)
    split = source.split(settings.split)
    observe = make_observer(split, settings.mask_seeds)
    digest = write_masks(
        path,
        protocol,
        split,
        settings.mask_seeds,
        observe,
        settings.split,
        source.fingerprint,
    )
    console = Console()
    title = f"Protocol {protocol.name}, {settings.split} split, {len(split)} samples"
    console.out(title, highlight=False)
    console.out("Missing in percent of the modalities, and of the frames:", highlight=False)
    for condition in protocol.conditions:
        seeds = settings.mask_seeds if condition.random else settings.mask_seeds[:1]
        shares = [missing_shares(observe(condition, seed), split.valid) for seed in seeds]
        found = mean_of(shares, ("modalities", "frames"))
        cells = " ".join(f"{percent(share):>6}" for share in found.values())
        console.out(f"  {condition.name:28} {cells}", highlight=False)
    console.out(f"Digest: {digest}", highlight=False)
    console.out(f"Masks: {path}", highlight=False)
    return 0


main = guarded(command)
