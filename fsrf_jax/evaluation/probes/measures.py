"""What a code holds of known quantities, measured with linear maps; NumPy float64.

A figure is None where it is undefined: it is never a made-up 0. What a code holds in a way that no
linear map finds is not seen: it counts as rest.
Axis letters: n sample, d width of a code, k width of a group of quantities, m modality.
"""

from collections.abc import Mapping

import numpy as np

NOISE_FLOOR = 0.01
"""Variance of the noise in each direction of a code whose total variance is 1; see `decoding`."""

FOLDS = 5
SMALLEST_EXPLAINED = 0.01  # below it, how the explained part divides is chance
ROUNDING = 1e-12  # a variance of this share of the mean square is float32 rounding of a constant

Figures = dict[str, float | None]


def variance_shares(code: np.ndarray, groups: Mapping[str, np.ndarray]) -> Figures:
    """How much of a code's variance each group of quantities explains linearly.

    The code is regressed on all groups at once by least squares; with F_g the part of the fit that
    comes from group g and T the code's total variance (summed over its dimensions),

        share_g = sum over dimensions of cov(code, F_g) / T,

    so that the shares sum to R^2 whatever the groups' sample correlation and order (Pratt, 1987).
    For independent groups this is var(F_g) / T. R^2 on n samples is too high by what k regressors
    fit by chance: every share is lowered by k_g / (n - 1 - k) of the residual, which together is
    the adjusted R^2 (Ezekiel, 1930). A share of nothing is thus as often below as above 0.

    Args:
        code: [n, d].
        groups: [n, k_g] by name, k_g may be 0.

    Returns:
        Share of every group and the `rest`; they sum to 1. All None for a constant code, and where
        n is below k + 2.
    """
    shares: Figures = dict.fromkeys((*groups, "rest"))
    code_nd = np.asarray(code, np.float64)
    n, k = len(code_nd), sum(latent.shape[1] for latent in groups.values())
    if n < k + 2 or is_constant(code_nd):
        return shares
    code_nd = _centred(code_nd)
    latents_nk = _centred(np.concatenate(list(groups.values()), axis=1))
    weights_kd = np.linalg.lstsq(latents_nk, code_nd)[0]
    explained_k = np.sum((latents_nk.T @ code_nd) * weights_kd, axis=1) / np.sum(code_nd**2)
    rest = 1.0 - float(explained_k.sum())
    chance = rest / (n - 1 - k)
    end = 0
    for name, latent in groups.items():
        start, end = end, end + latent.shape[1]
        shares[name] = float(explained_k[start:end].sum() - chance * (end - start))
    shares["rest"] = rest + chance * k
    return shares


def normalised(shares: Figures, names: tuple[str, ...]) -> Figures:
    """Shares of the named groups as parts of what they explain together.

    All None where that is less than a hundredth of the code's variance.
    """
    found = {name: share for name in names if (share := shares[name]) is not None}
    together = sum(found.values())
    if len(found) < len(names) or together < SMALLEST_EXPLAINED:
        return dict.fromkeys(names)
    return {name: share / together for name, share in found.items()}


def decoding(
    code: np.ndarray,
    groups: Mapping[str, np.ndarray],
    folds: int = FOLDS,
    noise: float = NOISE_FLOOR,
) -> Figures:
    """Cross-validated R^2 of a linear probe from a noisy code to groups of quantities.

    Without noise a linear probe finds a quantity perfectly however faint its trace. The code is
    therefore divided by one number, so that its total variance is 1, and observed under independent
    Gaussian noise of variance `noise` in every direction, in training and in testing. A quantity
    whose trace has the share s of the code's variance, in a direction of its own, is then
    decoded with R^2 = s / (s + noise), whatever the width: by default half at 1 % of the variance.

    Nothing is drawn. On average over the noise, least squares on noisy codes is ridge regression
    with penalty noise * n, and the squared error of its weights beta on a noisy test sample is

        (y - beta . x)^2 + noise * |beta|^2.

    R^2 is 1 - error / (squared distance from the training mean), both summed over all folds (row i
    is in fold i modulo `folds`), and averaged over a group's columns but for constant ones.

    Args:
        code: [n, d].
        groups: [n, k_g] by name.
        folds: parts of the cross-validation, at least 2.
        noise: variance of the noise, at least 0.

    Returns:
        R^2 by name, at most 1; 0 for a constant code, below 0 for a probe worse than a constant,
        None for a group without a varying column, and for n below twice the folds.
    """
    code_nd = np.asarray(code, np.float64)
    if len(code_nd) < 2 * folds:
        return dict.fromkeys(groups)
    code_nd = _standardised(code_nd)
    return {name: _decoded(code_nd, y_nk, folds, noise) for name, y_nk in groups.items()}


def _decoded(code_nd: np.ndarray, y_nk: np.ndarray, folds: int, noise: float) -> float | None:
    """R^2 of one group."""
    y_nk = np.asarray(y_nk, np.float64)
    y_nk = y_nk[:, np.ptp(y_nk, axis=0) > 0]
    error_k, distance_k = np.zeros(y_nk.shape[1]), np.zeros(y_nk.shape[1])
    fold_n = np.arange(len(code_nd)) % folds
    for fold in range(folds):
        train_n, test_n = fold_n != fold, fold_n == fold
        centre_d, centre_k = code_nd[train_n].mean(axis=0), y_nk[train_n].mean(axis=0)
        x_nd, far_nk = code_nd[train_n] - centre_d, y_nk[train_n] - centre_k
        penalty_dd = noise * len(x_nd) * np.eye(x_nd.shape[1])
        beta_dk = np.linalg.lstsq(x_nd.T @ x_nd + penalty_dd, x_nd.T @ far_nk)[0]
        x_nd, far_nk = code_nd[test_n] - centre_d, y_nk[test_n] - centre_k
        error_k += np.sum((far_nk - x_nd @ beta_dk) ** 2, axis=0)
        error_k += len(x_nd) * noise * np.sum(beta_dk**2, axis=0)
        distance_k += np.sum(far_nk**2, axis=0)
    return float(np.mean(1 - error_k / distance_k)) if y_nk.shape[1] else None


def modality_identity(
    codes: Mapping[str, np.ndarray], folds: int = FOLDS, noise: float = NOISE_FLOOR
) -> float | None:
    """How well a linear probe tells from a code which modality it came from.

    Cross-validated accuracy of linear discriminant analysis (Fisher, 1936) on the codes of all
    modalities together, scaled and under noise as in `decoding` (here drawn, from a fixed seed).
    Every modality counts alike: the mean of its rates. 1 / m is chance, what aligned codes have.
    A difference that is not one of means is not seen.

    Args:
        codes: [n_m, d] of each modality; n_m may differ, row i is in fold i modulo `folds`.
        folds: parts of the cross-validation, at least 2.
        noise: variance of the noise, at least 0.

    Returns:
        Accuracy in [0, 1]; None where a modality has fewer samples than twice the folds.
    """
    counts = [len(code) for code in codes.values()]
    if min(counts) < 2 * folds:
        return None
    code_nd = _standardised(np.concatenate([np.asarray(c, np.float64) for c in codes.values()]))
    noisy_nd = code_nd + np.sqrt(noise) * np.random.default_rng(0).standard_normal(code_nd.shape)
    modality_n = np.repeat(np.arange(len(counts)), counts)
    fold_n = np.concatenate([np.arange(count) % folds for count in counts])
    told_n = np.empty_like(modality_n)
    for fold in range(folds):
        train_n, test_n = fold_n != fold, fold_n == fold
        told_n[test_n] = _discriminate(
            code_nd[train_n], modality_n[train_n], noisy_nd[test_n], noise
        )
    return float(np.mean([np.mean(told_n[modality_n == m] == m) for m in range(len(counts))]))


def _discriminate(
    code_nd: np.ndarray, class_n: np.ndarray, test_nd: np.ndarray, noise: float
) -> np.ndarray:
    """Most likely class of each test row, for classes of one covariance and equal odds."""
    classes = range(class_n.max() + 1)
    means_md = np.stack([code_nd[class_n == m].mean(axis=0) for m in classes])
    spreads = [np.cov(code_nd[class_n == m].T, bias=True) for m in classes]
    covariance_dd = np.reshape(sum(spreads), (code_nd.shape[1], -1)) / len(classes)
    covariance_dd = covariance_dd + noise * np.eye(len(covariance_dd))
    solved_dm = np.linalg.lstsq(covariance_dd, means_md.T)[0]
    score_nm = test_nd @ solved_dm - np.sum(means_md.T * solved_dm, axis=0) / 2
    return np.argmax(score_nm, axis=1)


def cka(x: np.ndarray, y: np.ndarray) -> float | None:
    """Linear centred kernel alignment (Kornblith et al., 2019, arXiv:1905.00414).

        |Y'X|^2 / (|X'X| |Y'Y|),   X and Y centred, Frobenius norms

    1 for codes that are rotations and multiples of each other. Independent codes have not 0
    but about d / (n + d) for d dimensions of equal variance.

    Args:
        x: [n, d].
        y: [n, e], of the same samples.

    Returns:
        A figure in [0, 1]; None where a code is constant or n is below 2.
    """
    x_nd, y_ne = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x_nd) < 2 or is_constant(x_nd) or is_constant(y_ne):
        return None
    x_nd, y_ne = _standardised(x_nd), _standardised(y_ne)  # no overflow, whatever their scale
    both = np.linalg.norm(y_ne.T @ x_nd) ** 2
    return float(both / (np.linalg.norm(x_nd.T @ x_nd) * np.linalg.norm(y_ne.T @ y_ne)))


def principal_plane(code_nd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores [n, 2] on the first two principal components, and their shares of the variance [2].

    The sign of a component is such that its entry of largest size is positive.

    Args:
        code_nd: float [n, d], n and d of at least 2.

    Returns:
        The scores, and the shares; both zero where the codes do not vary.
    """
    centred_nd = _centred(np.asarray(code_nd, np.float64))
    _, size_k, component_kd = np.linalg.svd(centred_nd, full_matrices=False)
    first_kd = component_kd[:2]
    largest = np.abs(first_kd).argmax(axis=1)
    signs = np.sign(first_kd[np.arange(2), largest])
    total = float((size_k**2).sum())
    if total == 0:
        return np.zeros((len(code_nd), 2)), np.zeros(2)
    return centred_nd @ (first_kd * signs[:, None]).T, size_k[:2] ** 2 / total


def is_constant(code: np.ndarray) -> bool:
    """Whether the rows [n, d] are all the same, but for rounding to float32."""
    code_nd = np.asarray(code, np.float64)
    variance = np.mean(_centred(code_nd) ** 2)
    return bool(variance <= ROUNDING * np.mean(code_nd**2))


def _standardised(code_nd: np.ndarray) -> np.ndarray:
    """Centred, and divided by one number so that the total variance is 1; 0 for a constant code."""
    if is_constant(code_nd):
        return np.zeros_like(code_nd)
    centred_nd = _centred(code_nd)
    return centred_nd / np.sqrt(np.sum(centred_nd**2) / len(centred_nd))


def _centred(code_nd: np.ndarray) -> np.ndarray:
    return code_nd - code_nd.mean(axis=0)
