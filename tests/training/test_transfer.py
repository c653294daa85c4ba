"""What of one run's parameters fits another's, by name, shape and modality."""

import chex
import numpy as np
import pytest

from fsrf_jax.training.transfer import apply, grouped, plan

SAME = (("audio", "language"), ("audio", "language"))


def array(*shape, start=0):
    return start + np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def parameters(inference, training=None):
    return {"inference": inference, "training": training or {}}


def moved(old, new, modalities=SAME, wider=None):
    """The plan, and what a population of two gets."""
    planned = plan(old, new, modalities, new if wider is None else wider)
    population = {
        part: {name: np.stack([x, x + 0.5]) for name, x in tree.items()}
        for part, tree in new.items()
    }
    return planned, apply(planned, old, population)


def test_what_has_the_same_name_and_shape_is_taken_by_every_member():
    old = parameters({"a": array(2, 3), "b": array(4), "gone": array(9)}, {"c": array(5)})
    new = parameters(
        {"a": array(2, 3, start=100), "b": array(3, start=100), "more": array(2, start=100)},
        {"c": array(5, start=100)},
    )
    planned, found = moved(old, new)
    assert (planned.taken, planned.total) == (11, 16)
    assert planned.anew == ("inference.b", "inference.more")
    np.testing.assert_array_equal(found["inference"]["a"], [array(2, 3)] * 2)
    np.testing.assert_array_equal(found["training"]["c"], [array(5)] * 2)
    for name in ("b", "more"):
        drawn = new["inference"][name]
        np.testing.assert_array_equal(found["inference"][name], [drawn, drawn + 0.5])


def test_another_part_or_type_does_not_fit():
    old = parameters({"a": array(2)}, {"b": array(2)})
    new = parameters({"b": array(2)}, {"a": array(2)})
    assert plan(old, new, SAME, new).taken == 0
    integers = parameters({"a": array(2).astype(np.int32)})
    assert plan(old, integers, SAME, integers).taken == 0


def test_rows_go_to_their_own_modality():
    """Equal in shape, but the second row is of language there and of vision here."""
    modalities = (("audio", "language"), ("audio", "vision"))
    old = parameters({"stacked": array(2, 3), "shared": array(3)})
    new = parameters({"stacked": array(2, 3, start=100), "shared": array(3, start=100)})
    wider = parameters({"stacked": array(3, 3), "shared": array(3)})
    planned, found = moved(old, new, modalities, wider)
    stacked = [[0, 1, 2], [103, 104, 105]]
    np.testing.assert_array_equal(found["inference"]["stacked"][0], stacked)
    np.testing.assert_array_equal(found["inference"]["shared"], [array(3)] * 2)
    assert (planned.taken, planned.total) == (6, 9)
    assert planned.anew == ("inference.stacked (vision)",)


@pytest.mark.parametrize(
    ("there", "here", "expected", "anew"),
    [
        (("a", "b", "c"), ("a", "c"), [0, 1, 4, 5], ()),
        (("a", "c"), ("a", "b", "c"), [0, 1, 102, 103, 2, 3], ("inference.x (b)",)),
        (("b", "c"), ("a", "b"), [100, 101, 0, 1], ("inference.x (a)",)),
        (("c", "d"), ("a", "b"), [100, 101, 102, 103], ("inference.x",)),
    ],
)
def test_blocks_of_several_rows(there, here, expected, anew):
    old = parameters({"x": array(2 * len(there), 1)})
    new = parameters({"x": array(2 * len(here), 1, start=100)})
    wider = parameters({"x": array(2 * len(here) + 2, 1)})
    planned, found = moved(old, new, (there, here), wider)
    np.testing.assert_array_equal(found["inference"]["x"][0, :, 0], expected)
    assert planned.anew == anew
    assert planned.taken == sum(x < 100 for x in expected)


@pytest.mark.parametrize(("shape", "wider"), [((3, 2), (3, 3)), ((5, 2), (12, 2)), ((), ())])
def test_what_depends_on_the_modalities_otherwise_is_drawn_anew(shape, wider):
    """Its second axis; features side by side; and what is equal in shape is not touched."""
    old = parameters({"x": array(*shape)})
    new = parameters({"x": array(*shape, start=100)})
    planned = plan(old, new, (("a", "b"), ("a", "c")), parameters({"x": array(*wider)}))
    assert planned.taken == (1 if shape == () else 0)
    assert plan(old, new, (("a", "b"), ("a", "b")), parameters({"x": array(*wider)})).anew == ()


def test_long_lists_of_names_are_shortened():
    tree = {
        "inference": {
            "head": {"bias": 0, "kernel": 0},
            "encoders": {"a": {"x": 0, "y": 0}, "b": 0},
        },
        "training": {"c": {"x": 0}},
    }
    names = ["inference.head.bias", "inference.head.kernel", "inference.encoders.a.x"]
    assert grouped(names, tree) == ["inference.head", "inference.encoders.a.x"]
    assert grouped([*names, "training.c.x"], tree)[-1] == "training"
    assert grouped(["inference.encoders.a.x (vision)"], tree) == ["inference.encoders.a.x (vision)"]


def test_nothing_is_changed_in_place():
    old, new = parameters({"a": array(2)}), parameters({"a": array(2, start=9)})
    moved(old, new)
    chex.assert_trees_all_equal(old, parameters({"a": array(2)}))
    chex.assert_trees_all_equal(new, parameters({"a": array(2, start=9)}))
