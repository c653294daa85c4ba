"""A network for samples of the user's own: as in the evaluation, whatever their shapes."""

import numpy as np
import pytest
from command_case import read_arrays

import fsrf_jax
from fsrf_jax import inference
from fsrf_jax.errors import DataError
from fsrf_jax.source import open_source

FRAMES = {"language": 6, "audio": 6, "vision": 6}


@pytest.fixture(scope="module")
def run(trained):
    return fsrf_jax.load(trained.folder)


@pytest.fixture(scope="module")
def samples(run):
    """The test split as it was before it was normalised."""
    return open_source(run.config.data).split("test")


@pytest.fixture(scope="module")
def expected(trained):
    arrays = read_arrays(trained.folder / "predictions.npz")
    return dict(zip(arrays["conditions"].tolist(), arrays["predictions"][:, 0], strict=True))


def lengths_of(samples):
    return {m: v.sum(axis=1) for m, v in samples.valid.items()}


@pytest.mark.parametrize("condition", ["language+audio+vision", "audio", "language+vision"])
def test_a_batch_has_the_predictions_of_the_evaluation(run, samples, expected, condition):
    given = {m: samples.features[m] for m in condition.split("+")}
    found = run.predict(lengths_of(samples), **given)
    np.testing.assert_allclose(found.values, expected[condition], atol=1e-5)
    assert (found.std, found.codes) == (None, None)
    for m, share in found.observed.items():
        np.testing.assert_array_equal(share, float(m in given))


def test_one_sample_alone_of_any_length_has_the_same(run, samples, expected):
    whole = expected["language+audio+vision"]
    for i in (0, 5, 9):
        own = {m: x[i][samples.valid[m][i]] for m, x in samples.features.items()}
        found = run.predict(**own)
        assert found.values.shape == ()
        np.testing.assert_allclose(found.values, whole[i], atol=1e-5)
        longer = {m: np.pad(x, [(0, 37), (0, 0)]) for m, x in own.items()}
        again = run.predict({m: [len(x)] for m, x in own.items()}, **longer)
        np.testing.assert_allclose(again.values, found.values, atol=1e-5)


def test_a_stream_of_lengths_and_numbers_compiles_a_handful_of_programs(run, samples):
    rng = np.random.default_rng(0)
    widths = {m: x.shape[2] for m, x in samples.features.items()}
    run.predict(language=np.ones((3, widths["language"])))
    before = inference._predict._cache_size()
    for t in (1, 2, 5, 7, 8, 4, 6, 3):  # all are padded to 8 frames
        run.predict(**{m: rng.normal(size=(t, f)) for m, f in widths.items()})
    assert inference._predict._cache_size() - before <= 0
    for n in (2, 3, 4, 5, 6, 7, 8):
        run.predict(**{m: rng.normal(size=(n, 6, f)) for m, f in widths.items()})
    assert inference._predict._cache_size() - before <= 3  # 2, 4 and 8 rows


def test_gaps_and_bad_values_are_missing_or_the_mean(run, samples):
    width = samples.features["language"].shape[2]
    x = np.random.default_rng(0).normal(size=(4, 6, width)).astype(np.float32)
    x[:, 1] = 0
    found = run.predict(dict.fromkeys(["language"], [4] * 4), language=x[:, :4])
    np.testing.assert_allclose(found.observed["language"], 0.75)
    mean = run.network.normaliser.mean["language"]
    x[:, 2, 3] = np.nan
    filled = np.where(np.isnan(x), mean[None, None], x)
    one, other = (run.predict({"language": [4] * 4}, language=v[:, :4]) for v in (x, filled))
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    assert one.observed["language"].tolist() == [0.75] * 4
    nothing = run.predict(language=np.zeros((2, 5, x.shape[2])))
    assert nothing.observed["language"].tolist() == [0, 0]
    assert np.isfinite(nothing.values).all()


def test_codes_are_those_of_the_split(run, samples):
    expected = run.codes()
    found = run.predict(lengths_of(samples), codes=True, **samples.features).codes
    assert found.modalities == expected.modalities
    for field in ("available", "pooled", "homogeneous", "heterogeneous", "noise", "fused"):
        a, b = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_more_rows_than_are_taken_at_a_time(run, samples, expected, monkeypatch):
    monkeypatch.setattr(type(run.network), "_most", 16)
    found = run.predict(lengths_of(samples), codes=True, **samples.features)  # 16 and 8
    np.testing.assert_allclose(found.values, expected["language+audio+vision"], atol=1e-5)
    np.testing.assert_allclose(found.codes.fused, run.codes().fused, atol=1e-5)
    np.testing.assert_allclose(found.codes.pooled, run.codes().pooled, atol=1e-5)


def test_what_does_not_fit_has_one_message(run, samples):
    x = samples.features
    wide = np.ones((2, 3, 99))
    for given, message in (
        ({"audio": wide}, "audio has 99 features, the training data had"),
        ({"sound": wide}, "found 'sound', expected features of some of language, audio, vision"),
        ({}, "found no array"),
        ({"audio": None}, "found no array"),
        ({"audio": x["audio"][0], "vision": x["vision"]}, "expected .t, f. in all modalities"),
        ({"audio": x["audio"][:3], "vision": x["vision"][:2]}, "found audio 3, vision 2 samples"),
        ({"audio": x["audio"][:0]}, "found audio 0 samples; expected one or more"),
        ({"audio": [["a"]]}, "the features of audio has dtype"),
    ):
        with pytest.raises(DataError, match=message):
            run.predict(**given)
    with pytest.raises(DataError, match="2 samples, but its lengths have shape"):
        run.predict({"audio": [1]}, audio=x["audio"][:2])
