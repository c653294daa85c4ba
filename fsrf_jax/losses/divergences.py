"""How far two sets of codes are from each other; each a statistic of the whole batch.

Every divergence takes `x_bd [b, d]`, `y_bd [b, d]`, `weights_b [b]` (at least 0) and options by
keyword, and gives a scalar in float32 (or longer). Row i of x and row i of y belong to the same
sample. What all of them keep:

- x and y may change places.
- A row without weight has no influence, whatever it holds; weights of 0 and 1 equal dropping rows.
- A common factor of the weights cancels. Without any weight the value is exactly 0 with zero
  gradient.
- Equal codes are at 0, but for `infonce`.
- Value and gradient are finite for codes of any size up to 1e10, zero codes and single samples.

A new one is a function that begins with `codes.prepare_pair`, and a line in `DIVERGENCES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from fsrf_jax.losses.kernels import mmd
from fsrf_jax.losses.moments import cmd, coral, gaussian_kl
from fsrf_jax.losses.sample_level import cosine, infonce, js, mse
from fsrf_jax.losses.transport import sinkhorn, sliced_wasserstein
from fsrf_jax.options import expect, number, within

Divergence = Callable[..., jax.Array]

DIVERGENCES: dict[str, Divergence] = {
    "cmd": cmd,
    "coral": coral,
    "cosine": cosine,
    "gaussian_kl": gaussian_kl,
    "infonce": infonce,
    "js": js,
    "mmd": mmd,
    "mse": mse,
    "sinkhorn": sinkhorn,
    "sliced_wasserstein": sliced_wasserstein,
}
"""By the name that `method.homogeneous.divergence` takes."""


@dataclass(frozen=True)
class MeasureOptions:
    """Fixed numbers of the divergences, wherever they are used."""

    temperature: float = number(0.1, 1e-3)
    """Of infonce."""
    mmd_multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Kernel widths of mmd, as multiples of the mean squared distance."""
    cmd_moments: int = within(5, 1, 8)
    """Highest moment of cmd."""
    gaussian_floor: float = number(1e-3, 1e-6)
    """Variance added by gaussian_kl, as a share of the common one."""
    projections: int = within(64, 1)
    """Directions of sliced_wasserstein."""
    blur: float = number(0.1, 1e-4)
    """Entropic regularisation of sinkhorn, as a multiple of the mean squared distance."""
    iterations: int = within(50, 1)
    """Iterations of sinkhorn."""

    def of(self, divergence: str) -> dict[str, Any]:
        """Keyword arguments of a divergence."""
        options: dict[str, dict[str, Any]] = {
            "cmd": {"moments": self.cmd_moments},
            "gaussian_kl": {"floor": self.gaussian_floor},
            "infonce": {"temperature": self.temperature},
            "mmd": {"multiples": self.mmd_multiples},
            "sinkhorn": {"blur": self.blur, "iterations": self.iterations},
            "sliced_wasserstein": {"projections": self.projections},
        }
        return options.get(divergence, {})

    def check(self) -> None:
        """Raise ValueError unless the kernel widths are such."""
        multiples = self.mmd_multiples
        above_0 = len(multiples) > 0 and all(0 < c < float("inf") for c in multiples)
        expect(above_0, "mmd_multiples", multiples, "one or more numbers above 0")


def named_divergence(name: str, options: MeasureOptions) -> Divergence:
    """The divergence of that name in `DIVERGENCES`, with its options filled in."""
    return partial(DIVERGENCES[name], **options.of(name))
