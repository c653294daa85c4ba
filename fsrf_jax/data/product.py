"""Numbers that hold a product of two latents: their distribution given the observed frames.

Given the frames, the linear part s of a number and the latents v and w are jointly Gaussian, and

    y = s + c v w + noise

has a mean and a variance in closed form, but is not Gaussian. Given v as well it is, with a mean
and a variance that are polynomials of v. So P(y > t) is the integral over v of a normal density
times a normal distribution function: one dimension, and smooth. The trapezoidal rule gives it to
1e-6 or better, with fewer nodes than Gauss-Hermite, whose outer nodes have next to no weight
(Trefethen, Exactness of quadrature formulas, SIAM Review 2022).

Axis letters: n sample, x node of the quadrature, c cut point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

# Standard deviations of v on either side; what lies beyond has a probability of 3e-12.
REACH = 7.0
# Nodes are doubled until no probability changes by more. The error falls geometrically: what then
# is left is far smaller than the last change.
CHANGE = 1e-7
LEVELS = range(5, 14)  # of 2^level + 1 nodes
SOLVED = 1e-11  # a median's probability is as close to 1/2
STEPS = 100  # at most: halving alone needs 40
BLOCK = 256  # samples at a time: with 129 nodes, which mostly do, an array has 260 kB


@dataclass(frozen=True)
class ProductPosterior:
    """The distributions of n numbers y = s + c v w + noise, given what is observed of each.

    Which prediction is best depends on the metric: the mean for squared error and correlation, the
    median for the absolute error and the sign, the most probable class for an accuracy of classes.

    Attributes:
        means: float64 [n, 3], of s, v and w.
        covariances: float64 [n, 3, 3], of the same.
        scale: c.
        noise: variance of the noise, above 0.
    """

    means: np.ndarray
    covariances: np.ndarray
    scale: float
    noise: float

    @property
    def mean(self) -> np.ndarray:
        """E[y], float64 [n]."""
        s, v, w = self.means.T
        return s + self.scale * (v * w + self.covariances[:, 1, 2])

    @property
    def variance(self) -> np.ndarray:
        """Var[y], float64 [n]."""
        _, v, w = self.means.T
        (ss, sv, sw), (_, vv, vw), (_, _, ww) = self.covariances.transpose(1, 2, 0)
        product = v**2 * ww + w**2 * vv + 2 * v * w * vw + vv * ww + vw**2
        return ss + 2 * self.scale * (v * sw + w * sv) + self.scale**2 * product + self.noise

    def above(self, points: Sequence[float] | np.ndarray) -> np.ndarray:
        """P(y > t) for each of c points t, float64 [n, c]."""
        found_nc = np.empty((len(self.means), len(points)))
        for rows, block in self._blocks():
            for column, point in enumerate(points):
                found_nc[rows, column] = block.above(np.full(len(block.mean_nx), point))
        return found_nc

    def classes(self, cuts: Sequence[float] | np.ndarray) -> np.ndarray:
        """Probability of each class between increasing cut points, float64 [n, c + 1]."""
        above_nc = self.above(cuts)
        always, never = np.ones((len(above_nc), 1)), np.zeros((len(above_nc), 1))
        above_nc = np.concatenate([always, above_nc, never], axis=1)
        return np.maximum(-np.diff(above_nc, axis=1), 0.0)

    def median(self) -> np.ndarray:
        """The number that y exceeds with probability 1/2, float64 [n].

        It is positive where P(y > 0) > 1/2, so it also has the best sign.
        """
        median_n, reach_n = self.mean, np.sqrt(self.variance)
        for rows, block in self._blocks():
            # No median is further from the mean than one standard deviation.
            median_n[rows] = _solve(block, median_n[rows], reach_n[rows])
        return median_n

    def _blocks(self) -> Iterator[tuple[slice, "_Block"]]:
        """Some samples at a time, each block with as many nodes as it needs."""
        for start in range(0, len(self.means), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self._resolved(rows)

    def _resolved(self, rows: slice) -> "_Block":
        """The samples `rows` at enough nodes."""
        # At the mean alone symmetry may hide an error.
        points = [self.mean[rows] + move * np.sqrt(self.variance[rows]) for move in (-0.5, 0, 0.5)]
        before_cn = np.full((len(points), len(points[0])), np.inf)
        for level in LEVELS:
            block = self._at_nodes(rows, 2**level + 1)
            found_cn = np.stack([block.above(point) for point in points])
            if np.abs(found_cn - before_cn).max() < CHANGE:
                break
            before_cn = found_cn
        return block

    def _at_nodes(self, rows: slice, count: int) -> "_Block":
        """Mean and variance of y given v, at nodes of v."""
        # Integrate over the latent that is known better: it moves the conditional mean less.
        swapped = self.covariances[rows, 2, 2] < self.covariances[rows, 1, 1]
        order = np.where(swapped[:, None], [0, 2, 1], [0, 1, 2])
        means = np.take_along_axis(self.means[rows], order, axis=1)
        cov = np.take_along_axis(self.covariances[rows], order[:, :, None], axis=1)
        cov = np.take_along_axis(cov, order[:, None, :], axis=2)[..., None]
        s, v, w = means[:, :, None].transpose(1, 0, 2)
        # With v = E[v] + deviation * x, x standard normal, s and w move by their slopes times x,
        # and what is left of them does not depend on x.
        deviation = np.sqrt(np.maximum(cov[:, 1, 1], np.finfo(np.float64).tiny))
        slope_s, slope_w = cov[:, 0, 1] / deviation, cov[:, 1, 2] / deviation
        left_ss = cov[:, 0, 0] - slope_s**2
        left_sw = cov[:, 0, 2] - slope_s * slope_w
        left_ww = cov[:, 2, 2] - slope_w**2
        x = np.linspace(-REACH, REACH, count)
        factor_nx = self.scale * (v + deviation * x)
        mean_nx = s + slope_s * x + factor_nx * (w + slope_w * x)
        variance_nx = left_ss + factor_nx * (2 * left_sw + factor_nx * left_ww)
        density = np.exp(-(x**2) / 2)
        return _Block(
            mean_nx=mean_nx,
            deviation_nx=np.sqrt(np.maximum(variance_nx, 0.0) + self.noise),
            weights_x=density / density.sum(),
        )


@dataclass(frozen=True)
class _Block:
    """Mixtures of Gaussians: what some samples' y is at each node, and the nodes' weights."""

    mean_nx: np.ndarray
    deviation_nx: np.ndarray
    weights_x: np.ndarray

    def above(self, points_n: np.ndarray) -> np.ndarray:
        """P(y > t) for one point t of each sample."""
        return ndtr((self.mean_nx - points_n[:, None]) / self.deviation_nx) @ self.weights_x

    def density(self, points_n: np.ndarray) -> np.ndarray:
        """The density of y at one point of each sample."""
        z_nx = (self.mean_nx - points_n[:, None]) / self.deviation_nx
        return (np.exp(-(z_nx**2) / 2) / self.deviation_nx) @ self.weights_x / np.sqrt(2 * np.pi)

    def take(self, rows: np.ndarray) -> "_Block":
        """Some of the samples."""
        return _Block(self.mean_nx[rows], self.deviation_nx[rows], self.weights_x)


def _solve(block: _Block, start_n: np.ndarray, reach_n: np.ndarray) -> np.ndarray:
    """Solve P(y > t) = 1/2 within start +- reach: Newton's steps, and halving where they leave."""
    t_n, low_n, high_n = start_n.copy(), start_n - reach_n, start_n + reach_n
    left = np.arange(len(t_n))  # rows without a solution so far
    for _ in range(STEPS):
        excess = block.above(t_n[left]) - 0.5
        wrong = np.abs(excess) > SOLVED
        if not wrong.any():
            break
        block, left, excess = block.take(wrong), left[wrong], excess[wrong]
        low_n[left] = np.where(excess > 0, t_n[left], low_n[left])
        high_n[left] = np.where(excess > 0, high_n[left], t_n[left])
        slope = np.maximum(block.density(t_n[left]), np.finfo(np.float64).tiny)
        step = t_n[left] + excess / slope
        inside = (low_n[left] < step) & (step < high_n[left])
        t_n[left] = np.where(inside, step, (low_n[left] + high_n[left]) / 2)
    return t_n
