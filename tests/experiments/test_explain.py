"""Explanations against a closed form; tests/end_to_end/test_demo.py has the optimum's."""

import numpy as np

from fsrf_jax.data.dataset import Split
from fsrf_jax.experiments.explain import explain

WEIGHTS = {"language": 2.0, "audio": -1.0}


def split_of(present):
    n = len(next(iter(present.values())))
    features = {m: np.zeros((*p.shape, 1), np.float32) for m, p in present.items()}
    return Split(np.arange(n).astype(str), features, present, np.zeros(n), present=present)


def counted(observed):
    """1 and a weight for each frame that is observed."""
    return 1 + sum(w * observed[m].sum(axis=1) for m, w in WEIGHTS.items())


def test_of_a_sum_every_part_is_owed_its_own():
    language = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0]], bool)
    audio = np.array([[1, 0], [0, 0], [1, 1]], bool)
    found = explain(counted, split_of({"language": language, "audio": audio}))
    np.testing.assert_allclose(found.nothing, 1)
    np.testing.assert_allclose(found.shapley["language"], [4, 4, 0])
    np.testing.assert_allclose(found.shapley["audio"], [-1, 0, -2])
    np.testing.assert_allclose(found.occlusion["language"], 2.0 * language)
    np.testing.assert_allclose(found.occlusion["audio"], -1.0 * audio)


def test_of_a_product_both_are_owed_half():
    def product(observed):
        both = observed["language"].any(axis=1) & observed["audio"].any(axis=1)
        return np.stack([4.0 * both, 2.0 * observed["audio"].any(axis=1)], axis=1)

    present = {m: np.ones((2, 3), bool) for m in WEIGHTS}
    present["audio"][1] = False
    found = explain(product, split_of(present))
    np.testing.assert_allclose(found.shapley["language"], [[2, 0], [0, 0]])
    np.testing.assert_allclose(found.shapley["audio"], [[2, 2], [0, 0]])
    assert found.occlusion["language"].shape == (2, 3, 2)
    assert not found.occlusion["language"].any()  # two frames are left
