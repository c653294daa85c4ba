"""A network on a split: any batch size, masks by sample id, no influence of what is masked."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from fsrf_jax import models
from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.predictor import make_predictor
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import Condition
from fsrf_jax.training import build, sharding

MODALITIES = ("language", "audio", "vision")
N = 13


@pytest.fixture(scope="module")
def split():
    options = SyntheticOptions(frames=5, min_frames=2)
    return sample(make_world(options, MODALITIES), "test", N)[0]


@pytest.fixture(scope="module")
def make(split):
    """A predictor of a split and batch size, with one random network for each head."""
    widths = tuple(build.feature_widths(split).items())
    heads = models.AuxiliaryHeads(widths, hidden=4)
    batch = build.make_batch(split.head(1))
    mesh = sharding.data_mesh()

    @functools.cache
    def network_of(head, outputs):
        network = models.Network(
            modalities=MODALITIES,
            width=4,
            heads=1,
            encoder_layers=0,
            expansion=1,
            kernel=1,
            head=head,
            outputs=outputs,
        )
        init = jax.jit(lambda key: models.init(network, heads, batch, key)["network"])
        return network, init(jax.random.key(0))

    def make(split, batch_size=512, head="number", outputs=1):
        network, parameters = network_of(head, outputs)
        return make_predictor(network, mesh, parameters, split, batch_size)

    return make


def test_predictions_are_one_a_sample_whatever_the_batch(split, make):
    whole = make(split)(split.valid)
    assert whole.shape == (N,)
    assert len(set(whole.tolist())) == N
    np.testing.assert_allclose(make(split, 4)(split.valid), whole, rtol=1e-5, atol=1e-6)
    head = split.head(3)
    np.testing.assert_allclose(make(head)(head.valid), whole[:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("head", "outputs"), [("class", 3), ("binary", 2)])
def test_heads_of_classes_and_tasks_give_probabilities(split, make, head, outputs):
    found = make(split, 4, head, outputs)(split.valid)
    assert found.shape == (N, outputs)
    assert ((found > 0) & (found < 1)).all()
    labels = np.zeros(N) if head == "class" else np.zeros((N, outputs))
    assert np.isfinite(FAMILIES[head].compute(found, labels)["cross_entropy"])


def test_what_is_not_observed_has_no_influence(split, make):
    observed = make_observer(split, (0,))(Condition("x", ("language", "vision"), 0.4), 0)
    noise = np.random.default_rng(0)
    other = dataclasses.replace(
        split,
        features={
            m: np.where(observed[m][..., None], x, noise.normal(size=x.shape)).astype(np.float32)
            for m, x in split.features.items()
        },
    )
    former = make(split)(observed)
    np.testing.assert_array_equal(make(other)(observed), former)
    assert not np.allclose(make(other)(split.valid), make(split)(split.valid))


def test_nothing_observed_gives_one_number(split, make):
    nothing = {m: np.zeros_like(v) for m, v in split.valid.items()}
    found = make(split)(nothing)
    np.testing.assert_array_equal(found, found[:1].repeat(N))
    assert np.isfinite(found).all()


def test_masks_follow_condition_seed_and_id(split):
    observer = make_observer(split, (0, 3))
    whole = observer(Condition("language+vision", ("language", "vision"), 0.0), 0)
    np.testing.assert_array_equal(whole["language"], split.valid["language"])
    assert not whole["audio"].any()
    half = Condition("rate=0.5", MODALITIES, 0.5)
    assert any((observer(half, 0)[m] != observer(half, 3)[m]).any() for m in MODALITIES)
    assert not any(m.any() for m in observer(Condition("rate=1.0", MODALITIES, 1.0), 0).values())
    rows = np.arange(N)[::-1]
    turned = dataclasses.replace(
        split, ids=split.ids[rows], valid={m: v[rows] for m, v in split.valid.items()}
    )
    for m, mask in make_observer(turned, (3,))(half, 3).items():
        np.testing.assert_array_equal(mask, observer(half, 3)[m][rows])


def test_only_the_seeds_of_the_evaluation_have_masks(split):
    with pytest.raises(KeyError):
        make_observer(split, (0,))(Condition("rate=0.5", MODALITIES, 0.5), 1)
