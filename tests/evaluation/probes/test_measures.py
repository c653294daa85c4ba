"""Measures of what a code holds, against closed forms and scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, Ridge

from fsrf_jax.evaluation.probes.measures import (
    cka,
    decoding,
    modality_identity,
    normalised,
    variance_shares,
)

D = 6


def mixed(n, strengths, seed=0, d=D):
    """A code that is a sum of latents of two dimensions with the given shares of its variance."""
    rng = np.random.default_rng(seed)
    latents = {name: rng.normal(size=(n, 2)) for name in strengths}
    code = np.zeros((n, d))
    for name, share in strengths.items():
        loading = rng.normal(size=(2, d))
        code += latents[name] @ loading * np.sqrt(share / np.sum(loading**2))
    rest = 1 - sum(strengths.values())
    code += rng.normal(size=(n, d)) * np.sqrt(rest / d)
    return code, latents


def correlated(seed, n=60):
    """A code and groups of different size that are correlated with each other."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(6, 6))
    latents = rng.normal(size=(n, 6)) @ mix
    groups = {"u": latents[:, :3], "w": latents[:, 3:4], "r": latents[:, 4:]}
    return latents @ rng.normal(size=(6, D)) + rng.normal(size=(n, D)), groups


# Variance shares.


def test_shares_of_a_linear_gaussian_code_are_those_it_was_made_of():
    strengths = {"u": 0.5, "w": 0.25, "r": 0.1}
    found = variance_shares(*mixed(20000, strengths))
    for name, share in {**strengths, "rest": 0.15}.items():
        assert found[name] == pytest.approx(share, abs=0.015)


def test_shares_sum_to_the_adjusted_r2():
    code, groups = correlated(0)
    x, n, k = np.hstack(list(groups.values())), 60, 6
    fit = LinearRegression().fit(x, code).predict(x)
    residual, total = ((code - fit) ** 2).sum(), ((code - code.mean(0)) ** 2).sum()
    shares = variance_shares(code, groups)
    assert shares["rest"] == pytest.approx(residual / (n - 1 - k) / (total / (n - 1)), rel=1e-10)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)


def test_a_share_is_the_covariance_of_code_and_part_of_the_fit():
    code, groups = correlated(1)
    x = np.hstack(list(groups.values()))
    weights = LinearRegression().fit(x, code).coef_
    part = groups["u"] @ weights[:, :3].T
    total = np.var(code, axis=0).sum()
    share = sum(np.cov(code[:, i], part[:, i], bias=True)[0, 1] for i in range(D)) / total
    residual = np.var(code - x @ weights.T, axis=0).sum() / total
    expected = share - 3 * residual / (60 - 1 - 6)
    assert variance_shares(code, groups)["u"] == pytest.approx(expected, rel=1e-10)


@settings(max_examples=8, derandomize=True, deadline=None)
@given(st.integers(0, 99), st.permutations(["u", "w", "r"]), st.floats(1e-3, 1e3))
def test_shares_do_not_depend_on_order_rotation_scale_or_origin(seed, order, scale):
    code, groups = correlated(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))[0]
    moved = {name: groups[name] * scale + 3 for name in order}
    found = variance_shares(scale * code @ rotation + 5, moved)
    for name, share in variance_shares(code, groups).items():
        assert found[name] == pytest.approx(share, rel=1e-6, abs=1e-8)


def test_what_a_code_does_not_hold_has_a_share_of_zero_on_average():
    rng = np.random.default_rng(0)
    draws = [
        variance_shares(rng.normal(size=(30, D)), {"u": rng.normal(size=(30, 8))})["u"]
        for _ in range(300)
    ]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(300)
    assert np.std(draws) / np.sqrt(300) < 0.02  # unadjusted it would be 8 / 29


@pytest.mark.parametrize("value", [0.0, 0.3, -1e5])
def test_a_constant_code_has_no_shares(value):
    code = np.float32(value) * np.ones((30, D), np.float32)
    code[::2] *= np.float32(1 + 1e-7)
    assert variance_shares(code, {"u": np.arange(30.0)[:, None]}) == {"u": None, "rest": None}


def test_too_few_samples_have_no_shares():
    code, groups = correlated(0)
    assert variance_shares(code[:8], {k: g[:8] for k, g in groups.items()})["u"] is not None
    few = variance_shares(code[:7], {k: g[:7] for k, g in groups.items()})
    assert few == dict.fromkeys(["u", "w", "r", "rest"])


def test_an_empty_group_has_a_share_of_zero():
    code, groups = correlated(0)
    whole = variance_shares(code, groups)
    assert variance_shares(code, groups | {"x": np.empty((60, 0))}) == {
        "u": whole["u"], "w": whole["w"], "r": whole["r"], "x": 0.0, "rest": whole["rest"]
    }  # fmt: skip


def test_normalised_shares():
    shares = {"u": 0.3, "w": 0.1, "r": 0.0, "rest": 0.6}
    found = normalised(shares, ("u", "w", "r"))
    assert found == pytest.approx({"u": 0.75, "w": 0.25, "r": 0.0})
    nothing = {"u": 0.004, "w": -0.001, "r": 0.0, "rest": 0.997}
    assert normalised(nothing, ("u", "w", "r")) == dict.fromkeys(["u", "w", "r"])
    undefined = dict.fromkeys(["u", "w", "r", "rest"])
    assert normalised(undefined, ("u", "w", "r")) == dict.fromkeys(["u", "w", "r"])


# Decoding.


def scaled(code):
    code = code - code.mean(0)
    return code / np.sqrt(np.var(code, axis=0).sum())


def cross_validated(make, code, y, folds, noise=0.0, rng=None):
    """R^2 by scikit-learn, with noise drawn on both sides where there is any."""
    error = distance = 0.0
    x = scaled(code)
    if rng is not None:
        x = x + np.sqrt(noise) * rng.normal(size=x.shape)
    fold = np.arange(len(y)) % folds
    for i in range(folds):
        model = make().fit(x[fold != i], y[fold != i])
        error += ((y[fold == i] - model.predict(x[fold == i])) ** 2).sum(0)
        distance += ((y[fold == i] - y[fold != i].mean(0)) ** 2).sum(0)
    return np.mean(1 - error / distance)


def test_without_noise_decoding_is_cross_validated_least_squares():
    code, latents = mixed(100, {"u": 0.4, "w": 0.3})
    expected = cross_validated(LinearRegression, code, latents["u"], 4)
    assert decoding(code, latents, folds=4, noise=0.0)["u"] == pytest.approx(expected, rel=1e-8)


def test_decoding_is_least_squares_on_noisy_codes_on_average():
    code, latents = mixed(2000, {"u": 0.1, "w": 0.6})
    rng = np.random.default_rng(1)
    drawn = [cross_validated(LinearRegression, code, latents["u"], 5, 0.05, rng) for _ in range(20)]
    found = decoding(code, latents, noise=0.05)["u"]
    assert found == pytest.approx(np.mean(drawn), abs=0.005)
    clean = cross_validated(lambda: Ridge(alpha=0.05 * 1600), code, latents["u"], 5)
    assert clean > found + 0.05  # the penalty alone would flatter the code


@pytest.mark.parametrize("share", [1e-5, 1e-3, 0.01, 0.1])
def test_a_trace_is_decoded_as_far_as_it_stands_above_the_noise(share):
    rng = np.random.default_rng(0)
    y, other = rng.normal(size=(2, 20000, 1))
    code = np.hstack([np.sqrt(1 - share) * other, np.sqrt(share) * y])
    found = decoding(code, {"y": y}, noise=0.01)["y"]
    assert found == pytest.approx(share / (share + 0.01), abs=0.015)


def test_decoding_does_not_depend_on_width_rotation_scale_or_origin():
    code, latents = mixed(200, {"u": 0.2, "w": 0.3})
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(D + 4, D + 4)))[0]
    wide = 1e-4 * np.hstack([code, np.zeros((200, 4))]) @ rotation + 0.01
    for name, figure in decoding(code, latents).items():
        assert decoding(wide, latents)[name] == pytest.approx(figure, rel=1e-6)


def test_decoding_falls_as_the_noise_rises():
    code, latents = mixed(400, {"u": 0.5, "w": 0.3})
    figures = [decoding(code, latents, noise=noise)["w"] for noise in (1e-4, 0.01, 0.1, 1, 100)]
    assert all(low < high for high, low in itertools.pairwise(figures))
    assert abs(figures[-1]) < 0.02


def test_a_code_that_is_its_latents_decodes_them_and_nothing_else():
    rng = np.random.default_rng(0)
    u, w = rng.normal(size=(2, 2000, 3))
    found = decoding(u @ rng.normal(size=(3, 3)), {"u": u, "w": w})
    assert found["u"] > 0.9
    assert -0.05 < found["w"] < 0.01


def test_a_constant_code_decodes_nothing():
    y = np.random.default_rng(0).normal(size=(30, 2))
    assert decoding(np.full((30, D), 0.3, np.float32), {"y": y}) == {"y": 0.0}


def test_constant_columns_of_a_group_do_not_count():
    code, latents = mixed(100, {"u": 0.5})
    padded = np.hstack([np.ones((100, 1)), latents["u"]])
    found = decoding(code, {"u": latents["u"], "padded": padded, "ones": np.ones((100, 2))})
    assert found["padded"] == found["u"]
    assert found["ones"] is None


def test_too_few_samples_decode_nothing():
    code, latents = mixed(9, {"u": 0.5})
    assert decoding(code, latents) == {"u": None}
    assert decoding(code, latents, folds=4)["u"] is not None


# Modality identity.


def test_identity_is_linear_discriminant_analysis():
    rng = np.random.default_rng(0)
    codes = {m: rng.normal(size=(40, D)) + rng.normal(size=D) for m in "abc"}
    x, y = np.vstack(list(codes.values())), np.repeat([0, 1, 2], 40)
    fold, told = np.tile(np.arange(40) % 5, 3), np.empty(120)
    for i in range(5):
        model = LinearDiscriminantAnalysis(priors=np.ones(3) / 3).fit(x[fold != i], y[fold != i])
        told[fold == i] = model.predict(x[fold == i])
    assert modality_identity(codes, noise=0.0) == pytest.approx(np.mean(told == y))
    assert 0.5 < np.mean(told == y) < 0.99


def test_aligned_codes_tell_nothing_and_distant_ones_everything():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(300, D))
    assert modality_identity(dict.fromkeys("abc", h)) == pytest.approx(1 / 3, abs=0.05)
    assert modality_identity(dict.fromkeys("abc", np.ones((20, D)))) == pytest.approx(
        1 / 3, abs=0.2
    )
    distant = {m: h + 30 * i for i, m in enumerate("abc")}
    assert modality_identity(distant) == 1.0


@pytest.mark.parametrize("share", [1e-5, 0.01, 0.05])
def test_a_faint_difference_is_told_as_far_as_it_stands_above_the_noise(share):
    rng = np.random.default_rng(0)
    other = np.sqrt(1 - share) * rng.normal(size=(5000, 1))
    codes = {
        m: np.hstack([other, np.full_like(other, sign * np.sqrt(share))])
        for m, sign in {"a": -1, "b": 1}.items()
    }
    expected = stats.norm.cdf(np.sqrt(share / 0.01))
    assert modality_identity(codes, noise=0.01) == pytest.approx(expected, abs=0.015)


def test_modalities_count_alike_whatever_their_number_of_samples():
    rng = np.random.default_rng(0)
    codes = {"a": rng.normal(size=(2000, D)), "b": rng.normal(size=(100, D))}
    assert modality_identity(codes) == pytest.approx(0.5, abs=0.1)
    assert modality_identity({"a": codes["a"], "b": codes["b"][:9]}) is None


# CKA.


def test_cka_is_the_alignment_of_the_centred_kernels():
    x, y = np.random.default_rng(0).normal(size=(2, 50, D))
    y[:, :3] += x[:, 3:]
    centre = np.eye(50) - 1 / 50
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    expected = np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))
    assert cka(x, y) == pytest.approx(expected, rel=1e-10)
    assert cka(y, x) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cka_of_a_rotated_and_scaled_code_is_one(scale):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, D))
    rotation = np.linalg.qr(rng.normal(size=(D, D)))[0]
    assert cka(x, scale * (x @ rotation + 2)) == pytest.approx(1.0)


def test_cka_of_independent_codes():
    x, y = np.random.default_rng(0).normal(size=(2, 200, 40))
    assert cka(x, y) == pytest.approx(40 / 240, rel=0.1)


def test_cka_is_undefined_for_a_constant_code():
    x = np.random.default_rng(0).normal(size=(50, D))
    assert cka(x, np.full((50, D), 0.3)) is None
    assert cka(x[:1], x[:1]) is None
