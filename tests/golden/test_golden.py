"""Nothing that a run draws or computes changes silently: see `golden_run`."""

import json

import golden_run
import numpy as np
import pytest

RENEW = "If this change is meant: python tests/golden/golden_run.py, and say so in the commit."


@pytest.fixture(scope="module")
def found():
    return golden_run.record()


@pytest.fixture(scope="module")
def expected():
    return json.loads(golden_run.RECORD.read_text("utf-8"))


def test_initial_parameters(found, expected):
    found, expected = found["initial parameters"], expected["initial parameters"]
    assert list(found) == list(expected), RENEW
    for path, summary in expected.items():
        np.testing.assert_allclose(found[path], summary, 1e-5, 1e-5, err_msg=f"{path}: {RENEW}")


def test_masks(found, expected):
    assert found["masks"] == expected["masks"], RENEW


@pytest.mark.parametrize(("step", "tolerance"), [("step 1", 1e-5), ("step 20", 2e-3)])
def test_terms(found, expected, step, tolerance):
    found, expected = found["terms"][step], expected["terms"][step]
    assert list(found) == list(expected), RENEW
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, tolerance, err_msg=f"{name}: {RENEW}")


def test_validation_error(found, expected):
    error = found["validation error"]
    np.testing.assert_allclose(error, expected["validation error"], 2e-3, err_msg=RENEW)
