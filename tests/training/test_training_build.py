import dataclasses

import jax
import numpy as np
import pytest
import training_case as case

from fsrf_jax.config import Config
from fsrf_jax.data.dataset import Split
from fsrf_jax.losses.options import (
    DistillationOptions,
    HeterogeneousOptions,
    NoiseOptions,
    ReconstructionOptions,
    TaskOptions,
)
from fsrf_jax.missing import MissingLaw
from fsrf_jax.training import build
from fsrf_jax.types import LossWeights


def changed(config, section, **values):
    part = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **{section: part})


def make_split(order=slice(None)):
    batch = case.make_batch()
    return Split(
        ids=np.array([f"video_{i}" for i in range(case.SAMPLES)])[order],
        features={m: np.asarray(x, np.float64)[order] for m, x in batch.features.items()},
        valid={m: np.asarray(v)[order] for m, v in batch.valid.items()},
        labels=np.asarray(batch.labels)[order],
    )


def test_method():
    config = changed(Config(), "data", modalities=("audio", "language"))
    config = changed(config, "training", batch_size=8, epochs=5)
    config = changed(config, "model", width=16, heads=2, mask_aware=False)
    method = build.make_method(config, case.FEATURES, 17)
    assert method.steps_per_epoch == 3
    assert method.network.modalities == ("audio", "language")
    assert (method.network.width, method.network.mask_aware) == (16, False)
    assert method.auxiliary.target_widths == (("audio", 2), ("language", 3))
    assert build.make_method(config, case.FEATURES, 16).steps_per_epoch == 2
    for name in vars(config.model):
        assert getattr(method.network, name) == getattr(config.model, name)


@pytest.mark.parametrize(
    ("kind", "head", "outputs"),
    [
        ("huber", "number", 1),
        ("gaussian", "gaussian", 2),
        ("cross_entropy", "class", 5),
        ("binary_cross_entropy", "binary", 5),
    ],
)
def test_heads_follow_the_task(kind, head, outputs):
    config = changed(Config(), "losses", task=TaskOptions(kind))
    config = changed(config, "data", modalities=("audio", "language"))
    method = build.make_method(config, case.FEATURES, 17, 1 if outputs < 3 else 5)
    assert (method.network.head, method.network.outputs) == (head, outputs)
    assert method.auxiliary.outputs == outputs


def test_heads_follow_the_terms():
    config = changed(
        Config(),
        "losses",
        heterogeneous=HeterogeneousOptions("modality"),
        noise=NoiseOptions("bottleneck"),
        reconstruction=ReconstructionOptions("view", crossed=True),
    )
    config = changed(config, "data", modalities=("audio", "language"))
    config = changed(config, "missing", clean_view=True)
    method = build.make_method(config, case.FEATURES, 17)
    assert method.network.random_noise
    assert method.clean_view
    heads = method.auxiliary
    assert (heads.heterogeneous, heads.noise, heads.crossed) == ("modality", "bottleneck", True)
    assert heads.target_widths == (("audio", 40), ("language", 40))


def test_law():
    config = changed(Config(), "missing", subset_weights={"language": 1.0, "audio+vision": 2.0})
    config = changed(config, "missing", max_rate=0.4, shared_rate=True, pattern="block")
    assert build.make_law(config) == MissingLaw(
        max_rate=0.4,
        shared_rate=True,
        pattern="block",
        subset_weights=((("language",), 1.0), (("audio", "vision"), 2.0)),
    )


def test_law_of_the_other_protocols():
    config = changed(Config(), "missing", modality_rate=0.0, whole_share=0.5)
    assert build.make_law(config) == MissingLaw(modality_rate=0.0, whole_share=0.5)


def test_law_of_all_modalities():
    config = changed(Config(), "missing", subset_weights={"all": 3.0})
    assert build.make_law(config).subset_weights == ((("language", "audio", "vision"), 3.0),)


def test_every_term_gets_its_own_weight():
    names = sorted(set(LossWeights.__dataclass_fields__) - {"feature_distillation"})
    given = {name: number + 0.5 for number, name in enumerate(names)}
    config = changed(Config(), "weights", feature_distillation={"cmd": 9.0}, **given)
    hyper = build.make_hyper(config)
    assert hyper.weights.by_name() == given | {"feature_distillation.cmd": 9}
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(hyper))


def test_numbers_that_are_arrays():
    config = changed(Config(), "optimizer", learning_rate=0.5)
    config = changed(config, "losses", distillation=DistillationOptions(temperature=3.0))
    hyper = build.make_hyper(changed(config, "model", dropout=0.25), dropout=True)
    assert (hyper.learning_rate, hyper.temperature, hyper.dropout) == (0.5, 3, 0.25)
    assert build.make_hyper(config).dropout is None


def test_batch():
    split = make_split()
    batch = build.make_batch(split)
    np.testing.assert_array_equal(batch.weights, np.ones(case.SAMPLES))
    for m in case.FRAMES:
        assert batch.features[m].dtype == np.float32
        np.testing.assert_array_equal(batch.features[m], split.features[m].astype(np.float32))
        np.testing.assert_array_equal(batch.valid[m], split.valid[m])
    assert build.feature_widths(split) == case.FEATURES


def test_validation_masks_belong_to_the_sample():
    law = MissingLaw()
    order = np.random.default_rng(0).permutation(case.SAMPLES)
    validation = build.make_validation(make_split(), law, 3)
    other = build.make_validation(make_split(order), law, 3)
    for m, t in case.FRAMES.items():
        observed = np.asarray(validation.observed[m])
        assert observed.shape == (3, case.SAMPLES, t)
        assert not (observed & ~np.asarray(validation.batch.valid[m])).any()
        np.testing.assert_array_equal(other.observed[m], observed[:, order])
        assert (observed[0] != observed[1]).any()
