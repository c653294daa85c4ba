"""Where NaN and infinities begin; every example has its place in a line of this file."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsrf_jax.training.origin import origins


def begins(function, *arguments):
    """The origin of every result; the function is given one argument or more."""
    names = inspect.signature(function).parameters
    found = origins(function, dict(zip(names, arguments, strict=True)))
    return [one and one.first() for one in found]


def line_of(function, text):
    """Where the line with this text stands, as an origin says it."""
    lines, start = inspect.getsourcelines(function)
    (number,) = (start + i for i, line in enumerate(lines) if text in line)
    return f"{__file__}:{number}, in "


def test_what_is_finite_has_no_origin():
    assert begins(lambda x: (jnp.log(x), x > 1, jax.random.key(0)), jnp.ones(2)) == [None] * 3


def overflows(x):
    big = jnp.exp(x)
    return jax.nn.relu(big) - jax.nn.relu(big), x.sum()


def test_the_infinity_before_a_nan_is_where_it_begins():
    first, other = begins(overflows, jnp.asarray([1.0, 100.0]))
    assert (first.what, first.nan, first.backward) == ("exp", False, False)
    assert first.where.startswith(line_of(overflows, "jnp.exp"))
    assert other is None


def root(x, y):
    def loss(x):
        smooth = jnp.tanh(x) * y
        return jnp.sqrt(jnp.square(smooth).sum())

    return jax.value_and_grad(loss)(x)


def scaled(x, by):
    def loss(x):
        return (by * (by * x)).sum()

    return jax.value_and_grad(loss)(x)


@pytest.mark.parametrize(
    ("function", "by", "text", "what", "backward"),
    [(root, 1.0, "jnp.sqrt", "div", False), (scaled, 1e30, "by * x", "mul", True)],
)
def test_a_gradient_alone_begins_in_the_line_that_it_is_of(function, by, text, what, backward):
    value, gradient = begins(function, jnp.zeros(2), jnp.float32(by))
    assert value is None
    assert (gradient.what, gradient.nan, gradient.backward) == (what, False, backward)
    assert gradient.where.startswith(line_of(function, text))


def masked(x, seen):
    largest = jnp.where(seen, x, -jnp.inf).max()
    return x - largest, jnp.log(jnp.exp(jnp.where(seen, x, -jnp.inf) - largest).sum())


def test_an_infinity_that_the_code_means_is_no_beginning():
    x = jnp.asarray([1.0, 2.0])
    assert begins(masked, x, jnp.asarray([True, False])) == [None, None]
    _, nothing = begins(masked, x, jnp.zeros(2, bool))
    assert (nothing.what, nothing.nan) == ("sub", True)
    assert nothing.where.startswith(line_of(masked, "jnp.log"))


def test_what_was_given_is_named():
    batch = {"x": jnp.asarray([1.0, np.nan]), "y": jnp.ones(2)}
    product, other = begins(lambda batch: (batch["x"] * 2, batch["y"]), batch)
    assert (product.what, product.where) == ("batch.x", "")
    assert other is None


def loops(x, turn):
    def body(carry, row):
        carry = carry * row
        return carry, jnp.log(carry)

    def branch(x):
        return jnp.log(x)

    carry, rows = jax.lax.scan(body, x[0], x, reverse=True)
    chosen = jax.lax.switch(turn, [jnp.exp, branch], carry)
    return carry, rows, chosen


@pytest.mark.parametrize(("turn", "bad"), [(0, False), (1, True)])
def test_inside_of_loops_and_branches(turn, bad):
    x = jnp.asarray([3.0, 0.0, 2.0])
    carry, rows, chosen = begins(loops, x, jnp.int32(turn))
    assert carry is None
    assert (rows.what, rows.nan) == ("log", False)
    assert rows.where.startswith(line_of(loops, "jnp.log(carry)"))
    assert (chosen is not None) == bad
    if bad:
        assert chosen.where.startswith(line_of(loops, "jnp.log(x)"))


def test_the_turns_of_a_loop_come_in_their_order():
    """Backwards, so that they are -5, -2 and -2; any other order gives other rows."""

    def function(x):
        _, rows = jax.lax.scan(lambda c, row: (c - row, c - row), 0.0, x, reverse=True)
        return tuple(jnp.log(jnp.abs(row + bad)) for row, bad in zip(rows, (5, 2, 2), strict=True))

    found = begins(function, jnp.asarray([3.0, 0.0, 2.0]))
    assert [one and one.what for one in found] == ["log"] * 3
