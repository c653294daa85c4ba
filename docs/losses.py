"""The tables of losses.md, measured: `python docs/losses.py` prints them as they stand there."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax.losses import DEPENDENCE, DIVERGENCES

WIDTH = 40


def normal(seed: int, b: int) -> np.ndarray:
    """Standard normal codes [b, WIDTH]."""
    return np.random.default_rng(seed).normal(size=(b, WIDTH)).astype(np.float32)


def rotation() -> np.ndarray:
    """A random rotation [WIDTH, WIDTH]."""
    return np.linalg.qr(normal(9, WIDTH))[0].astype(np.float32)


def copies(b: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of codes that share nothing, something, or everything."""
    x, other = normal(0, b), normal(1, b)
    return {
        "independent": (x, other),
        "half of the variance shared": (x, (x @ rotation() + other) / np.float32(2**0.5)),
        "the same": (x, x),
        "a rotated copy": (x, x @ rotation()),
        "a copy times 0.01": (x, np.float32(0.01) * x),
        "squares (no correlation)": (x, x**2 - 1),
    }


def distributions(b: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of codes that differ in one respect."""
    x, other = normal(0, b), normal(1, b)
    shift = np.zeros((1, WIDTH), np.float32)
    shift[0, 0] = 2
    together = (other + normal(3, b)[:, :1]) / np.float32(2**0.5)
    signs = np.sign(normal(2, b)).astype(np.float32)
    return {
        "equal": (x, x),
        "other samples of one distribution": (x, other),
        "the same samples in another order": (x, x[::-1].copy()),
        "all means shifted by 1": (x, other + 1),
        "one mean shifted by 2": (x, other + shift),
        "standard deviation 2": (x, 2 * other),
        "all columns correlated by 0.5": (x, together),
        "+1 and -1 (other shape)": (x, signs),
    }


def table(
    measures: dict[str, Callable], rows: Iterable[tuple[str, np.ndarray, np.ndarray]]
) -> list[str]:
    """A Markdown table of every measure in every situation, to two digits."""
    lines = ["| |" + "|".join(measures) + "|", "|---|" + "---:|" * len(measures)]
    for name, x_bd, y_bd in rows:
        weights_b = jnp.ones(len(x_bd))
        values = [float(jax.jit(f)(x_bd, y_bd, weights_b)) for f in measures.values()]
        lines.append(f"|{name}|" + "|".join(shown(value) for value in values) + "|")
    return lines


def shown(value: float) -> str:
    """Two significant digits; what is only rounding is 0."""
    if abs(value) < 1e-5:
        return "0"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def main() -> None:
    """Print the tables."""
    independent = ((f"{b} samples", *copies(b)["independent"]) for b in (16, 32, 64, 128, 512))
    tables = {
        "Dependence, 512 samples": table(
            DEPENDENCE, ((name, *pair) for name, pair in copies(512).items())
        ),
        "Dependence of independent codes": table(DEPENDENCE, independent),
        "Divergences, 256 samples": table(
            DIVERGENCES, ((name, *pair) for name, pair in distributions(256).items())
        ),
    }
    for title, lines in tables.items():
        print(f"**{title}, d = {WIDTH}**\n")
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
