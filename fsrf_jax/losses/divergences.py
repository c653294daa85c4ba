"""How far two sets of codes are from each other; each a statistic of the whole batch.

Every divergence takes `x_bd [b, d]`, `y_bd [b, d]`, `weights_b [b]` (at least 0) and static options
by keyword, and gives a scalar in float32 (or longer). Row i of x and row i of y belong to the same
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

import jax

from fsrf_jax.losses.kernels import mmd
from fsrf_jax.losses.moments import cmd, coral, gaussian_kl
from fsrf_jax.losses.sample_level import cosine, infonce, js, mse
from fsrf_jax.losses.transport import sinkhorn, sliced_wasserstein

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
