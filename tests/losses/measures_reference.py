"""Divergences and dependence measures once more in float64, from other libraries or the papers.

`scale` holds a number still that is a constant to the gradient; without it, it is computed.
"""

import numpy as np
import ot
from losses_reference import cosine, cross_correlation, infonce, mean, mmd, mmd_scale, mse
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.spatial.distance import jensenshannon
from scipy.special import expit, logsumexp, softmax
from sklearn.metrics.pairwise import euclidean_distances

from fsrf_jax.losses.transport import directions


def js(x, y, w):
    pairs = zip(softmax(x, axis=1), softmax(y, axis=1), strict=True)
    return mean([jensenshannon(q, r) ** 2 for q, r in pairs], w)


def cmd(x, y, w, moments=5):
    x, y = expit(x), expit(y)
    mean_x, mean_y = np.average(x, axis=0, weights=w), np.average(y, axis=0, weights=w)
    total = np.linalg.norm(mean_x - mean_y)
    for k in range(2, moments + 1):
        of_x = np.average((x - mean_x) ** k, axis=0, weights=w)
        total += np.linalg.norm(of_x - np.average((y - mean_y) ** k, axis=0, weights=w))
    return total


def mean_square(x, y, w):
    """Of all entries about the common centre: half of s for each of d columns."""
    return mmd_scale(x, y, w) / (2 * x.shape[1])


def coral(x, y, w, scale=None):
    scale = mean_square(x, y, w) if scale is None else scale
    of_x, of_y = (np.cov(z.T, aweights=w, ddof=0) / scale for z in (x, y))
    return np.linalg.norm(of_x - of_y, "fro") ** 2 / (4 * x.shape[1] ** 2)


def gaussian_kl(x, y, w, scale=None, floor=1e-3):
    scale = mean_square(x, y, w) if scale is None else scale

    def gaussian(z):
        centre = np.average(z, axis=0, weights=w)
        variance = np.average((z - centre) ** 2, axis=0, weights=w)
        return centre / np.sqrt(scale), variance / scale + floor

    def kl(p, q):
        (mean_p, v_p), (mean_q, v_q) = p, q
        return np.log(v_q / v_p) / 2 + (v_p + (mean_p - mean_q) ** 2) / (2 * v_q) - 0.5

    p, q = gaussian(x), gaussian(y)
    return np.mean(kl(p, q) + kl(q, p)) / 2


def sliced_wasserstein(x, y, w, projections=64):
    p = w / w.sum()
    lines = directions(x.shape[1], projections)
    return ot.sliced_wasserstein_distance(x, y, p, p, projections=lines) ** 2


def sinkhorn(x, y, w, scale=None, blur=0.1):
    scale = mmd_scale(x, y, w) if scale is None else scale
    x, y, w = x[w > 0], y[w > 0], w[w > 0]
    p = w / w.sum()

    def cost(u, v):
        return euclidean_distances(u, v, squared=True) / scale

    def within(u):
        """The plan of u to itself is exp((f_i + f_j - C_ij) / blur) p_i p_j with one potential f;
        its fixed point is reached by averaging (Feydy et al. 2019), hardly by alternating."""
        f = np.zeros(len(p))
        for _ in range(100):
            f = (f - blur * logsumexp((f[None, :] - cost(u, u)) / blur, b=p[None, :], axis=1)) / 2
        return 2 * p @ f

    across = cost(x, y)
    plan = ot.bregman.sinkhorn_log(p, p, across, blur, numItermax=3000, stopThr=1e-12)
    entropy = np.sum(plan * np.log(np.maximum(plan / np.outer(p, p), 1e-300)))
    return np.sum(plan * across) + blur * entropy - within(x) / 2 - within(y) / 2


def cosine_squared(x, y, w):
    return mean([(1 - scipy_cosine(a, b)) ** 2 for a, b in zip(x, y, strict=True)], w)


def orthogonality(x, y, w):
    """The code of MISA on rows that each count w (sum w) / (sum w^2) times."""

    def normalised(z):
        z = z - np.average(z, axis=0, weights=w)
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    counts = np.diag(w * w.sum() / (w**2).sum())
    return np.mean((normalised(x).T @ counts @ normalised(y)) ** 2)


def own_scales(x, y, w):
    """The mean squared distances within x and within y."""
    p = w / w.sum()
    return [p @ euclidean_distances(z, squared=True) @ p for z in (x, y)]


def hsic(x, y, w, scale=None):
    """tr(K H L H) / n^2 of Gretton et al. 2005, with proportions p in the place of 1 / n."""
    scale = own_scales(x, y, w) if scale is None else scale
    p = w / w.sum()
    centre = np.eye(len(w)) - np.outer(np.ones(len(w)), p)
    k, m = (
        centre @ np.exp(-euclidean_distances(z, squared=True) / s) @ centre.T
        for z, s in zip((x, y), scale, strict=True)
    )
    return np.trace(np.diag(p) @ k @ np.diag(p) @ m)


DIVERGENCES = {
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
DEPENDENCE = {
    "cosine_squared": cosine_squared,
    "cross_correlation": cross_correlation,
    "hsic": hsic,
    "orthogonality": orthogonality,
}
# What is a constant to the gradient, by name of the measure.
SCALES = {
    "coral": mean_square,
    "gaussian_kl": mean_square,
    "hsic": own_scales,
    "mmd": mmd_scale,
    "sinkhorn": mmd_scale,
}


def value(name, x, y, w, **options):
    """In float64; 0 without any weight, and what rows without weight hold does not matter."""
    function = (DIVERGENCES | DEPENDENCE)[name]
    kept = np.asarray(w) > 0
    if not kept.any():
        return 0.0
    return function(*(np.asarray(a, np.float64)[kept] for a in (x, y, w)), **options)


def slope(name, x, y, w, moves, step=1e-5, **options):
    """Change of the value when (x, y) go along `moves`, by central differences."""
    x, y, w = (np.asarray(a, np.float64) for a in (x, y, w))
    if name in SCALES:
        kept = w > 0
        options["scale"] = SCALES[name](x[kept], y[kept], w[kept])
    along_x, along_y = moves
    ahead = value(name, x + step * along_x, y + step * along_y, w, **options)
    behind = value(name, x - step * along_x, y - step * along_y, w, **options)
    return (ahead - behind) / (2 * step)
