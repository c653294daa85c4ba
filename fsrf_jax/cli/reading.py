"""What the commands that read a run, `evaluate`, `predict` and `export`, have in common."""

import jsonargparse

from fsrf_jax.training.checkpoints import Which


def add_checkpoint(parser: jsonargparse.ArgumentParser) -> None:
    """Add the option that chooses a checkpoint."""
    parser.add_argument(
        "--checkpoint",
        type=Which,
        default="newest",
        help="of a run: last_whole reads the newest one that is not damaged",
    )
