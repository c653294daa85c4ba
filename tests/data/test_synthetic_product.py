"""A product of two latents in the label: its closed forms and quadrature against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from fsrf_jax.config import DataConfig
from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.data.labels import cut_gaussian, cut_labels
from fsrf_jax.data.product import LEVELS, ProductPosterior
from fsrf_jax.data.synthetic import (
    Latents,
    SyntheticOptions,
    World,
    make_oracle,
    make_posterior,
    make_world,
    posterior_mean,
    sample,
    unwarp,
)
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.optimal import optimal_metrics
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import corrkd
from fsrf_jax.source import open_source

PAIR = ("left", "right")
MODALITIES = ("language", "audio", "vision")
CUTS = (-1.0, 0.0, 1.5)
SMALL = SyntheticOptions(
    train=30,
    valid=10,
    test=20,
    frames=4,
    min_frames=2,
    widths=(6, 5),
    shared=2,
    private=(2, 1),
    irrelevant=(2, 1),
    transient=(1, 2),
    shared_share=0.3,
    private_shares=(0.1, 0.1),
    product_share=0.4,
    noise_share=0.1,
    frame_noise=(0.7, 1.1),
    seed=3,
)
SHARES = {"shared_share": 0.3, "private_shares": (0.05, 0.05, 0.05), "product_share": 0.495}


@pytest.fixture(scope="module")
def interacting() -> tuple[World, Split, Latents]:
    world = make_world(SyntheticOptions(**SHARES), MODALITIES)
    return world, *sample(world, "test", 3000)


def _only(split: Split, names: tuple[str, ...], rate: float = 0.0) -> Masks:
    rng = np.random.default_rng(0)
    return {
        name: valid & (name in names) & (rng.random(valid.shape) >= rate)
        for name, valid in split.valid.items()
    }


def _random_posterior(seed: int, count: int = 6) -> ProductPosterior:
    """Posteriors with latents that are known well, badly, and from each other."""
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((count, 3, 3)) * 10 ** rng.uniform(-1, 0.2, (count, 3, 1))
    means = rng.standard_normal((count, 3))
    scale = rng.uniform(0.3, 3)
    noise = scale**2 * 10 ** rng.uniform(-2, 0)
    return ProductPosterior(means, roots @ roots.transpose(0, 2, 1), scale, noise)


def _on_a_grid(posterior: ProductPosterior, row: int) -> tuple[np.ndarray, ...]:
    """Weights, and mean and deviation of y, at the points of a grid over both latents."""
    x = np.linspace(-7, 7, 701)
    density = np.exp(-(x**2) / 2)
    weights = np.outer(density, density) / density.sum() ** 2
    mean, covariance = posterior.means[row], posterior.covariances[row]
    moved = np.linalg.cholesky(covariance[1:, 1:])
    v = mean[1] + moved[0, 0] * x[:, None] + 0 * x
    w = mean[2] + moved[1, 0] * x[:, None] + moved[1, 1] * x
    gain = np.linalg.solve(covariance[1:, 1:], covariance[1:, 0])
    of_s = mean[0] + gain[0] * (v - mean[1]) + gain[1] * (w - mean[2])
    variance = covariance[0, 0] - gain @ covariance[1:, 0] + posterior.noise
    return weights, of_s + posterior.scale * v * w, np.sqrt(variance)


@pytest.mark.parametrize("seed", range(6))
def test_quadrature_and_closed_forms_agree_with_a_grid_over_both_latents(seed):
    posterior = _random_posterior(seed)
    points = (-2.0, -0.3, 0.0, 1.0)
    above, classes, median = posterior.above(points), posterior.classes(points), posterior.median()
    for row in range(len(median)):
        weights, mean, deviation = _on_a_grid(posterior, row)
        expected = [np.sum(weights * ndtr((mean - t) / deviation)) for t in points]
        np.testing.assert_allclose(above[row], expected, rtol=0, atol=1e-7)
        np.testing.assert_allclose(classes[row], -np.diff([1, *expected, 0]), rtol=0, atol=1e-7)
        half = np.sum(weights * ndtr((mean - median[row]) / deviation))
        assert half == pytest.approx(0.5, abs=1e-7)
        first = np.sum(weights * mean)
        second = np.sum(weights * (mean**2 + deviation**2))
        assert posterior.mean[row] == pytest.approx(first, abs=1e-7)
        assert posterior.variance[row] == pytest.approx(second - first**2, rel=1e-6)


def test_the_least_noise_that_is_allowed_is_within_reach_of_the_quadrature():
    rng = np.random.default_rng(0)
    for seed in range(20):
        posterior = _random_posterior(seed, 4)
        posterior = replace(posterior, noise=1e-3 * posterior.scale**2)
        spread = np.sqrt(posterior.variance)
        points = np.concatenate([posterior.mean + spread * rng.uniform(-1, 1), [0.0]])
        found = posterior.above(points)
        dense = posterior._at_nodes(slice(None), 100_001)
        expected = [dense.above(np.full(4, point)) for point in points]
        np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=0, atol=1e-6)
        nodes = [block.weights_x.size for _, block in posterior._blocks()]
        assert max(nodes) < 2 ** LEVELS[-1]


def test_posterior_agrees_with_importance_weighted_sampling():
    """Draw all latents from the prior and weight them by the likelihood of two frames."""
    options = replace(SMALL, widths=(2, 2), frame_noise=(2.0, 2.0))
    world = make_world(options, PAIR)
    split, _ = sample(world, "test", 3)
    rng, draws = np.random.default_rng(0), 400_000
    observed = {name: np.zeros((3, options.frames), bool) for name in PAIR}
    for mask in observed.values():
        mask[:, 1] = True
    shared = rng.standard_normal((draws, 2))
    labels = shared @ world.shared_weights
    product, means = np.ones(draws), {}
    for name in PAIR:
        kinds = (world.private[name], world.irrelevant[name], world.transient[name])
        latents = [rng.standard_normal((draws, loading.shape[1])) for loading in kinds]
        labels = labels + latents[0] @ world.private_weights[name]
        product = product * latents[0][:, 0]
        means[name] = shared @ world.shared[name].T + sum(
            latent @ loading.T for latent, loading in zip(latents, kinds, strict=True)
        )
    labels = labels + options.label_scale * np.sqrt(options.product_share) * product
    found = make_oracle(world, split.features)(observed)
    above = found.above(CUTS)
    for row in range(3):
        log_weights = np.zeros(draws)
        for name in PAIR:
            x = unwarp(split.features[name][row, 1].astype(np.float64), options.warp)
            errors = (x - means[name]) / world.frame_noise[name]
            log_weights -= 0.5 * np.square(errors).sum(1)
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        exceeds = stats.norm.sf(np.array(CUTS)[None], labels[:, None], world.label_noise)
        columns = np.column_stack([labels, exceeds])
        estimate = weights @ columns
        standard_error = np.sqrt(np.square(weights) @ np.square(columns - estimate))
        assert standard_error.max() < 0.02
        expected = np.append(found.mean[row], above[row])
        assert np.all(np.abs(expected - estimate) < 4 * standard_error)


def test_nothing_observed_gives_the_prior():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 5)
    found = make_oracle(world, split.features)(_only(split, ()))
    assert np.array_equal(found.mean, np.zeros(5))
    np.testing.assert_allclose(found.variance, SMALL.label_scale**2)
    _, many = sample(world, "test", 200_000)
    labels = sample(replace(world, options=replace(SMALL, frames=2)), "test", 200_000)[0].labels
    assert len(many.shared) == len(labels)
    exceeds = (labels[:, None] > np.array(CUTS)).mean(axis=0)
    np.testing.assert_allclose(found.above(CUTS)[0], exceeds, atol=4 * 0.5 / np.sqrt(200_000))
    assert found.median()[0] == pytest.approx(np.median(labels), abs=0.01)
    # Both private latents raise or lower y, and their product raises it where both are alike.
    assert abs(found.median()[0]) > 1e-3


@pytest.mark.parametrize("name", PAIR)
def test_one_modality_says_nothing_about_the_mean_of_the_product(name):
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 20)
    observed = _only(split, (name,))
    linear = replace(world, product_weight=0.0)
    expected, variance = make_posterior(linear, split.features)(observed)
    mean, found = make_posterior(world, split.features)(observed)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-12)
    assert np.all(found > variance)
    both = make_posterior(world, split.features)(split.valid)
    assert np.abs(both[0] - make_posterior(linear, split.features)(split.valid)[0]).mean() > 0.2
    assert both[1].mean() < found.mean() - 0.1


def test_without_a_product_all_is_as_in_the_linear_world():
    """To the bit; and a product of next to no weight gives next to the same."""
    options = replace(SMALL, product_share=0.0, shared_share=0.7)
    world = make_world(options, PAIR)
    split, _ = sample(world, "test", 20)
    observed = _only(split, PAIR, 0.5)
    assert world.product_weight == 0
    mean, variance = make_posterior(world, split.features)(observed)
    found = make_oracle(world, split.features)(observed)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, mean)
    tiny = replace(world, product_weight=1e-9)
    assert np.array_equal(sample(tiny, "test", 20)[0].labels, split.labels)
    close = make_oracle(tiny, split.features)(observed)
    for same, as_linear in ((close.mean, mean), (close.median(), mean), (close.variance, variance)):
        np.testing.assert_allclose(same, as_linear, rtol=0, atol=1e-8)
    for form in ("class", "binary"):
        probabilities = make_oracle(tiny, split.features, form, CUTS)(observed)
        expected = cut_gaussian(mean, variance, CUTS, form)
        assert np.array_equal(expected, make_oracle(world, split.features, form, CUTS)(observed))
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-8)


def test_the_product_is_all_that_it_adds_to_the_samples(interacting):
    world, split, latents = interacting
    linear, same = sample(replace(world, product_weight=0.0), "test", 3000)
    for name in MODALITIES:
        assert np.array_equal(linear.features[name], split.features[name])
        assert np.array_equal(same.private[name], latents.private[name])
    product = latents.private["language"][:, 0] * latents.private["audio"][:, 0]
    added = 1.4 * np.sqrt(0.495) * product
    np.testing.assert_allclose(split.labels - linear.labels, added, rtol=0, atol=1e-6)
    assert np.var(added) / np.var(split.labels) == pytest.approx(0.495, abs=0.05)
    assert split.labels.std() == pytest.approx(1.4, abs=0.06)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6])
def test_the_scale_of_the_label_is_only_a_unit(scale):
    found = []
    for label_scale in (1.0, scale):
        world = make_world(replace(SMALL, label_scale=label_scale), PAIR)
        split, _ = sample(world, "test", 20)
        posterior = make_oracle(world, split.features)(_only(split, PAIR, 0.5))
        above = posterior.above(label_scale * np.array(CUTS))
        found.append((posterior.mean / label_scale, posterior.median() / label_scale, above))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


def test_frames_without_noise_are_no_trouble():
    world = make_world(replace(SMALL, frame_noise=(1e-6, 1e-6), transient=(0, 0)), PAIR)
    split, _ = sample(world, "test", 20)
    for names in (PAIR, PAIR[:1], ()):
        found = make_oracle(world, split.features)(_only(split, names))
        values = (found.mean, found.variance, found.median(), found.above(CUTS))
        assert all(np.isfinite(value).all() for value in values)
    assert np.corrcoef(posterior_mean(world, split.features, split.valid), split.labels)[0, 1] > 0.9


@pytest.mark.parametrize("names", [MODALITIES, ("audio", "vision"), ("vision",), ()])
def test_each_prediction_is_the_best_by_its_metric(interacting, names):
    """Exactly, from the probabilities; and by draws from the posterior for the absolute error."""
    world, split, _ = interacting
    few = split.head(150)
    found = make_oracle(world, few.features)(_only(few, names))
    mean, median = found.mean, found.median()
    positive = found.above((0.0,))[:, 0]
    right = [np.where(guess > 0, positive, 1 - positive) for guess in (median, mean)]
    np.testing.assert_allclose(right[0], np.maximum(positive, 1 - positive), atol=1e-9)
    assert np.all(right[0] >= right[1] - 1e-9)
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(found.covariances)
    drawn = found.means[:, None] + rng.standard_normal((150, 4000, 3)) @ root.transpose(0, 2, 1)
    noise = np.sqrt(found.noise) * rng.standard_normal((150, 4000))
    y = drawn[..., 0] + found.scale * drawn[..., 1] * drawn[..., 2] + noise
    errors = {name: np.abs(y - p[:, None]) for name, p in (("mean", mean), ("median", median))}
    assert errors["median"].mean() <= errors["mean"].mean() + 1e-4
    squares = [np.square(y - p[:, None]).mean() for p in (mean, median)]
    assert squares[0] <= squares[1] + 1e-3
    cuts = (-1.5, -0.5, 0.5, 1.5)
    classes = found.classes(cuts)
    np.testing.assert_allclose(classes.sum(axis=1), 1, atol=1e-12)
    for guess in (mean, median):
        of_guess = np.searchsorted(cuts, guess)
        assert np.all(classes.max(axis=1) >= classes[np.arange(150), of_guess])


@pytest.mark.parametrize(("name", "scale"), [("mosi", 1.4), ("sims", 0.2)])
def test_figures_of_a_family_are_those_of_the_right_prediction(name, scale):
    family = FAMILIES[name]
    world = make_world(SyntheticOptions(**SHARES, label_scale=scale), MODALITIES)
    split, _ = sample(world, "test", 3000)
    found = make_oracle(world, split.features)(_only(split, ("vision",)))
    figures = optimal_metrics(family, found, split.labels)
    assert tuple(figures) == family.names
    predictions = {
        "mean": found.mean,
        "median": found.median(),
        "sign": np.where(found.above((0.0,))[:, 0] > 0.5, 0.1, -0.1),
    }
    tables = {kind: family.compute(p, split.labels) for kind, p in predictions.items()}
    for metric in family.names:
        kind = metric.partition("_")[0]
        if kind == "corr":
            assert figures[metric] == tables["mean"][metric]
            assert figures[metric] > tables["median"][metric] - 0.002
        elif kind == "mae":
            assert figures[metric] == tables["median"][metric]
            assert figures[metric] < tables["mean"][metric]
        elif kind in ("acc2", "f1"):
            assert figures[metric] == tables["median"][metric] == tables["sign"][metric]
            # They differ in one sample of fifty: chance decides which of them is ahead here.
            assert figures[metric] >= tables["mean"][metric] - 0.01
        else:
            best = max(tables["mean"][metric], tables["median"][metric])
            assert figures[metric] >= best - 0.005, metric


def test_evaluation_measures_the_best_prediction_of_each_metric():
    world = make_world(replace(SyntheticOptions(**SHARES), frames=5, min_frames=2), MODALITIES)
    split, _ = sample(world, "test", 60)
    oracle, observe = make_oracle(world, split.features), make_observer(split, (0, 1))
    zeros = np.zeros(60)
    evaluation = evaluate(corrkd(MODALITIES), split, lambda _: zeros, (0, 1), observe, oracle)
    for result in evaluation.conditions:
        for seed, table in zip((0, 1), result.bayes_per_seed, strict=True):
            found = oracle(observe(result.condition, seed))
            assert table == optimal_metrics(FAMILIES["mosi"], found, split.labels)


@pytest.mark.parametrize(("form", "outputs"), [("class", 4), ("binary", 3)])
def test_classes_and_tasks_are_calibrated(interacting, form, outputs):
    world, split, _ = interacting
    observed = _only(split, MODALITIES, 0.6)
    labels = cut_labels(split.labels, CUTS, form).astype(int)
    p = make_oracle(world, split.features, form, CUTS)(observed)
    assert p.shape == (3000, outputs)
    true = np.eye(4)[labels] if form == "class" else labels
    for column in range(outputs):
        for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
            chosen = (p[:, column] >= low) & (p[:, column] <= high)
            if not chosen.any():
                continue
            error = true[chosen, column].mean() - p[chosen, column].mean()
            assert abs(error) < 0.03 + 1.5 / np.sqrt(chosen.sum())


@pytest.mark.parametrize(("form", "outputs"), [("class", 3), ("binary", 2)])
def test_a_source_cuts_labels_with_a_product_too(form, outputs):
    small = replace(SyntheticOptions(**SHARES), train=9, valid=5, test=12, frames=4, min_frames=2)
    source = open_source(DataConfig(synthetic=small, cuts=(-0.5, 1.0)), form)
    numbers = open_source(DataConfig(synthetic=small))
    masks = source.split("test").valid
    found = numbers.oracle("test")(masks)
    assert isinstance(found, ProductPosterior)
    expected = found.classes((-0.5, 1.0)) if form == "class" else found.above((-0.5, 1.0))
    p = source.oracle("test")(masks)
    assert p.shape == (12, outputs)
    np.testing.assert_array_equal(p, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"product_share": 0.5},
            r"shared_share, private_shares, product_share, noise_share: found a sum of 1\.1, expe",
        ),
        ({"product_share": -0.4}, "synthetic.product_share: found -0.4, expected at least 0"),
        ({"product_share": float("nan")}, "synthetic.product_share: found nan"),
        ({"private": (0, 1)}, r"synthetic.private: found \(0, 1\), expected at least 1"),
        ({"private": (1, 0)}, r"synthetic.private: found \(1, 0\), expected at least 1"),
        (
            {"noise_share": 0.0, "shared_share": 0.4},
            r"synthetic.noise_share: found 0, expected at least 0.001 of product_share \(0.4\)",
        ),
    ],
)
def test_wrong_options_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        make_world(replace(SMALL, **change), PAIR)
