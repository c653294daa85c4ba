"""The built-in world: its samples, and its closed form against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fsrf_jax.data import labels
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.synthetic import (
    Latents,
    SyntheticOptions,
    World,
    make_dataset,
    make_oracle,
    make_posterior,
    make_world,
    posterior_mean,
    sample,
    unwarp,
    warp,
)
from fsrf_jax.errors import ConfigError

MODALITIES = ("language", "audio", "vision")
PAIR = ("left", "right")
CUTS = (-1.0, 0.0, 1.5)
SMALL = SyntheticOptions(
    train=30,
    valid=10,
    test=20,
    frames=4,
    min_frames=2,
    widths=(6, 5),
    shared=2,
    private=(1, 2),
    irrelevant=(2, 1),
    transient=(1, 2),
    shared_share=0.5,
    private_shares=(0.2, 0.2),
    noise_share=0.1,
    frame_noise=(0.7, 1.1),
    warp=0.5,
    seed=3,
)


@pytest.fixture(scope="module")
def default() -> tuple[World, Split, Latents]:
    world = make_world(SyntheticOptions(), MODALITIES)
    return world, *sample(world, "test", 4000)


def _some_frames(split: Split, rate: float, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: valid & (rng.random(valid.shape) >= rate) for name, valid in split.valid.items()}


def _only(split: Split, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: valid & (name in names) for name, valid in split.valid.items()}


def _conditional_law(world: World, x: dict, observed: dict, row: int) -> tuple[float, float]:
    """Mean and variance of y given the frames, from the full joint covariance of both."""
    frames = [(m, t) for m in world.modalities for t in np.flatnonzero(observed[m][row])]
    values = np.concatenate([x[m][row, t] for m, t in frames])
    with_label = np.concatenate(
        [
            world.shared[m] @ world.shared_weights + world.private[m] @ world.private_weights[m]
            for m, _ in frames
        ]
    )

    def block(m: str, t: int, other: str, s: int) -> np.ndarray:
        covariance = world.shared[m] @ world.shared[other].T
        if m == other:
            for kind in (world.private, world.irrelevant):
                covariance = covariance + kind[m] @ kind[m].T
            if t == s:
                covariance = covariance + world.transient[m] @ world.transient[m].T
                covariance = covariance + world.frame_noise[m] ** 2 * np.eye(len(covariance))
        return covariance

    joint = np.block([[block(*one, *other) for other in frames] for one in frames])
    gain = np.linalg.solve(joint, with_label)
    prior = world.options.label_scale**2
    return float(gain @ values), float(prior - gain @ with_label)


def test_posterior_equals_the_conditional_law_of_the_joint_covariance():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 20)
    observed = _some_frames(split, 0.4)
    observed["left"][:5] = False
    x = {name: unwarp(split.features[name].astype(np.float64), SMALL.warp) for name in PAIR}
    seen = [row for row in range(20) if any(observed[name][row].any() for name in PAIR)]
    expected = np.array([_conditional_law(world, x, observed, row) for row in seen])
    mean, variance = make_posterior(world, split.features)(observed)
    assert len(seen) > 15
    assert mean.dtype == variance.dtype == np.float64
    np.testing.assert_allclose(mean[seen], expected[:, 0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(variance[seen], expected[:, 1], rtol=0, atol=1e-8)
    assert np.array_equal(posterior_mean(world, split.features, observed), mean)


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
    means = {}
    for name in PAIR:
        kinds = (world.private[name], world.irrelevant[name], world.transient[name])
        latents = [rng.standard_normal((draws, loading.shape[1])) for loading in kinds]
        labels = labels + latents[0] @ world.private_weights[name]
        means[name] = shared @ world.shared[name].T + sum(
            latent @ loading.T for latent, loading in zip(latents, kinds, strict=True)
        )
    found = posterior_mean(world, split.features, observed)
    tasks = make_oracle(world, split.features, "binary", CUTS)(observed)
    for row in range(3):
        log_weights = np.zeros(draws)
        for name in PAIR:
            x = unwarp(split.features[name][row, 1].astype(np.float64), options.warp)
            errors = (x - means[name]) / world.frame_noise[name]
            log_weights -= 0.5 * np.square(errors).sum(1)
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        estimate = weights @ labels
        standard_error = np.sqrt(np.square(weights) @ np.square(labels - estimate))
        assert standard_error < 0.02
        assert abs(found[row] - estimate) < 4 * standard_error
        # What the sum above leaves out of the label is noise with a distribution of its own.
        above = stats.norm.sf(np.array(CUTS)[None], labels[:, None], world.label_noise)
        estimate = weights @ above
        standard_error = np.sqrt(np.square(weights) @ np.square(above - estimate))
        assert standard_error.max() < 0.01
        assert np.all(np.abs(tasks[row] - estimate) < 4 * standard_error)


def test_nothing_observed_gives_the_prior():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 8)
    mean, variance = make_posterior(world, split.features)(_only(split, ()))
    assert np.array_equal(mean, np.zeros(8))
    np.testing.assert_allclose(variance, SMALL.label_scale**2)


def test_class_probabilities_are_differences_of_the_tasks():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 20)
    tasks, classes = (
        make_oracle(world, split.features, form, CUTS)(split.valid) for form in ("binary", "class")
    )
    assert tasks.shape == (20, 3)
    assert classes.shape == (20, 4)
    above = np.pad(tasks, [(0, 0), (1, 0)], constant_values=1)
    np.testing.assert_allclose(classes, above - np.pad(tasks, [(0, 0), (0, 1)]), atol=1e-12)


def test_class_probabilities_are_calibrated_and_better_than_the_frequencies(default):
    world, split, _ = default
    observed = _some_frames(split, 0.6)
    classes_n = labels.cut_labels(split.labels, CUTS, "class").astype(int)
    p_nc = make_oracle(world, split.features, "class", CUTS)(observed)
    frequencies = np.bincount(classes_n, minlength=4) / len(split)
    np.testing.assert_allclose(p_nc.mean(axis=0), frequencies, atol=0.02)
    sure = p_nc.max(axis=1)
    right = p_nc.argmax(axis=1) == classes_n
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        chosen = (sure > low) & (sure <= high)
        assert right[chosen].mean() == pytest.approx(sure[chosen].mean(), abs=0.06)
    entropy = -(frequencies @ np.log(frequencies))
    assert -np.log(p_nc[np.arange(len(split)), classes_n]).mean() < entropy - 0.2


def test_unobserved_values_do_not_matter():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 20)
    observed = _some_frames(split, 0.5)
    disturbed = {
        name: np.where(observed[name][:, :, None], split.features[name], np.nan) for name in PAIR
    }
    assert np.array_equal(
        posterior_mean(world, split.features, observed),
        posterior_mean(world, disturbed, observed),
    )


def test_order_of_frames_does_not_matter_but_their_number_does():
    world = make_world(SMALL, PAIR)
    split, _ = sample(world, "test", 20)
    backwards = {name: x[:, ::-1] for name, x in split.features.items()}
    valid_backwards = {name: mask[:, ::-1] for name, mask in split.valid.items()}
    found = posterior_mean(world, split.features, split.valid)
    np.testing.assert_allclose(posterior_mean(world, backwards, valid_backwards), found, atol=1e-12)
    fewer = posterior_mean(world, split.features, _some_frames(split, 0.5))
    assert np.square(fewer - split.labels).mean() != np.square(found - split.labels).mean()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    (first, _), (second, _) = make_dataset(SMALL, PAIR), make_dataset(SMALL, PAIR)
    other, _ = make_dataset(replace(SMALL, seed=4), PAIR)
    for name in ("train", "valid", "test"):
        one, two = first.splits[name], second.splits[name]
        assert np.array_equal(one.labels, two.labels)
        assert np.array_equal(one.ids, two.ids)
        for modality in PAIR:
            assert np.array_equal(one.features[modality], two.features[modality])
            assert np.array_equal(one.valid[modality], two.valid[modality])
        assert not np.array_equal(one.labels, other.splits[name].labels)


def test_splits_are_drawn_apart_from_each_other():
    long, _ = make_dataset(replace(SMALL, train=60), PAIR)
    short, _ = make_dataset(SMALL, PAIR)
    assert np.array_equal(long.splits["test"].labels, short.splits["test"].labels)
    assert not np.array_equal(short.splits["train"].labels[:10], short.splits["valid"].labels)


def test_shape_type_and_ids_of_a_split():
    dataset, _ = make_dataset(SMALL, PAIR)
    split = dataset.splits["train"]
    assert split.modalities == PAIR
    assert split.ids[12] == "train/00012"
    assert len(np.unique(split.ids)) == len(split) == 30
    assert split.labels.dtype == np.float32
    for name, width in zip(PAIR, SMALL.widths, strict=True):
        assert split.features[name].shape == (30, 4, width)
        assert split.features[name].dtype == np.float32
        assert split.valid[name].dtype == bool
        assert not split.features[name][~split.valid[name]].any()


def test_lengths_are_uniform_drawn_for_each_modality_and_padding_comes_last(default):
    _, split, latents = default
    lengths = np.stack([valid.sum(1) for valid in split.valid.values()])
    for valid in split.valid.values():
        assert np.all(valid[:, :-1] >= valid[:, 1:])
        counts = np.bincount(valid.sum(1), minlength=21)[10:]
        assert counts.sum() == 4000
        assert counts.min() > 4000 / 11 * 0.8
    apart = np.corrcoef(np.vstack([lengths, latents.shared.T, split.labels]))
    assert np.abs(apart - np.eye(len(apart)))[:3].max() < 0.06


def test_features_have_comparable_scale_and_labels_the_wanted_one(default):
    world, split, _ = default
    for name in MODALITIES:
        x = unwarp(split.features[name][split.valid[name]].astype(np.float64), world.options.warp)
        assert np.square(x).mean() == pytest.approx(1.0, abs=0.05)
    assert split.labels.std() == pytest.approx(1.4, abs=0.05)
    assert np.abs(split.labels).max() > 3
    assert len(np.unique(split.labels)) > 3990


def test_each_latent_has_its_share_of_the_label(default):
    world, split, latents = default
    options = world.options
    share = np.var(latents.shared @ world.shared_weights) / np.var(split.labels)
    assert share == pytest.approx(options.shared_share, abs=0.04)
    explained = latents.shared @ world.shared_weights
    for name, expected in zip(MODALITIES, options.private_shares, strict=True):
        part = latents.private[name] @ world.private_weights[name]
        assert np.var(part) / np.var(split.labels) == pytest.approx(expected, abs=0.04)
        explained = explained + part
    rest = split.labels - explained
    assert np.var(rest) / np.var(split.labels) == pytest.approx(options.noise_share, abs=0.01)
    for name in MODALITIES:
        correlations = rest @ latents.irrelevant[name] / (len(split) * rest.std())
        assert np.abs(correlations).max() < 0.06


@pytest.mark.parametrize(
    ("names", "target"),
    [(MODALITIES, 0.89), (("language",), 0.83), (("audio",), 0.75), (("vision",), 0.75)],
)
def test_bayes_accuracy_of_the_default_world(default, names, target):
    world, split, _ = default
    predicted = posterior_mean(world, split.features, _only(split, names))
    accuracy = np.mean((predicted > 0) == (split.labels > 0))
    from_correlation = 1 - np.arccos(np.corrcoef(predicted, split.labels)[0, 1]) / np.pi
    assert accuracy == pytest.approx(target, abs=0.01)
    assert from_correlation == pytest.approx(target, abs=0.01)


def test_bayes_accuracy_falls_with_the_missing_rate(default):
    world, split, _ = default
    oracle = make_oracle(world, split.features)
    accuracies = [
        np.mean((oracle(_some_frames(split, rate)) > 0) == (split.labels > 0))
        for rate in (0.0, 0.5, 0.8, 0.9)
    ]
    assert np.all(np.diff(accuracies) < -0.01)
    assert accuracies[0] - accuracies[-1] > 0.1


def test_posterior_is_calibrated_and_beats_ridge_and_permutations(default):
    world, split, _ = default
    train, _ = sample(world, "train", 2000)
    observed = _some_frames(split, 0.6)

    def pooled(some: Split, masks: dict) -> np.ndarray:
        columns = [np.ones((len(some), 1))]
        for name in MODALITIES:
            weights = masks[name] / np.maximum(masks[name].sum(1, keepdims=True), 1)
            columns.append(np.einsum("ntf,nt->nf", some.features[name], weights))
        return np.concatenate(columns, 1)

    x = pooled(train, _some_frames(train, 0.6))
    solution = np.linalg.solve(x.T @ x + 2 * np.eye(x.shape[1]), x.T @ train.labels)
    ridge = pooled(split, observed) @ solution
    best = posterior_mean(world, split.features, observed)
    permuted = np.random.default_rng(0).permutation(best)
    error = np.square(best - split.labels).mean()
    assert error < np.square(ridge - split.labels).mean()
    assert error < np.square(permuted - split.labels).mean()
    assert best @ split.labels / (best @ best) == pytest.approx(1.0, abs=0.03)


@given(st.floats(-6, 6), st.just(0.0) | st.floats(1e-3, 3))
def test_unwarp_undoes_warp(value, strength):
    x = np.array([value])
    np.testing.assert_allclose(unwarp(warp(x, strength), strength), x, rtol=1e-9, atol=1e-9)


@given(st.floats(0.01, 3))
def test_warp_rises_is_odd_and_squashes(strength):
    x = np.linspace(-5, 5, 101)
    y = warp(x, strength)
    assert np.all(np.diff(y) > 0)
    np.testing.assert_allclose(y, -y[::-1], atol=1e-12)
    assert np.all(np.abs(y) <= np.abs(x) + 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (6, 5, 4)}, "synthetic.widths: found 3 values, expected 2"),
        ({"private_shares": (0.2,)}, "synthetic.private_shares: found 1 values, expected 2"),
        ({"shared_share": 0.6}, "found a sum of 1.1, expected 1"),
        ({"shared_share": -0.1}, "synthetic.shared_share: found -0.1, expected at least 0"),
        ({"frames": 1}, "synthetic.frames: found 1, expected at least 2"),
        ({"min_frames": 0}, "synthetic.min_frames: found 0, expected at least 1"),
        ({"train": 0}, "synthetic.train: found 0"),
        ({"label_scale": 0.0}, "synthetic.label_scale"),
        ({"frame_noise": (0.0, 1.0)}, "synthetic.frame_noise"),
        ({"irrelevant": (-1, 1)}, "synthetic.irrelevant"),
        ({"warp": float("nan")}, "synthetic.warp"),
    ],
)
def test_wrong_options_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        make_world(replace(SMALL, **change), PAIR)


@pytest.mark.parametrize("names", [("left",), ("left", "left")])
def test_fewer_than_two_modalities_are_refused(names):
    with pytest.raises(ConfigError, match="expected two or more names"):
        make_world(SMALL, names)


def test_a_world_without_warp_irrelevant_and_transient_latents():
    options = replace(SMALL, warp=0.0, irrelevant=(0, 0), transient=(0, 0))
    world = make_world(options, PAIR)
    split, latents = sample(world, "test", 50)
    assert latents.irrelevant["left"].shape == (50, 0)
    predicted = posterior_mean(world, split.features, split.valid)
    assert np.corrcoef(predicted, split.labels)[0, 1] > 0.6
