"""Where NaN or an infinity comes from: a function, evaluated operation by operation.

`jax_debug_nans` stops at the first NaN of all and knows no infinities that lead to one; this
follows what is bad, and only that, from a result back to the operation that made it, also through
the backward pass, whose operations have the lines of the forward pass that they belong to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

CALLS = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "checkpoint", "remat2"), "jaxpr"),
    **dict.fromkeys(("core_call", "custom_jvp_call", "custom_vjp_call"), "call_jaxpr"),
}
"""Operations that are others in a row, and the parameter that holds these."""

LIBRARIES = tuple(str(Path(module.__file__ or "").parent) for module in (jax, flax, optax))


@dataclass(frozen=True)
class Origin:
    """An operation that gave something that is not finite, or an argument that was not.

    Attributes:
        what: the operation, or the argument's name.
        where: its place in the code: file, line and function; empty for an argument.
        backward: whether it is of the backward pass.
        nan: whether it gave NaN, and not only infinities.
        source: what it was given that is not finite; None if all of it was finite.
        constant: it is an infinity that stands in the code, as for a masked maximum.
    """

    what: str
    where: str = ""
    backward: bool = False
    nan: bool = False
    source: "Origin | None" = None
    constant: bool = False

    def first(self) -> "Origin":
        """The operation or the argument that it all began with.

        An infinity that the code means is no beginning: then it is the operation that made a NaN
        of it.
        """
        chain = list(self._back())
        if not chain[-1].constant:
            return chain[-1]
        made = [one for one in chain if not one.constant]
        return next((one for one in reversed(made) if one.nan), made[-1] if made else chain[-1])

    def _back(self) -> Iterator["Origin"]:
        one: Origin | None = self
        while one is not None:
            yield one
            one = one.source


Tracked = tuple[Any, Origin | None]
"""A value, and where it comes from if it is not finite."""


def origins(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Evaluate a function of pytrees of arrays; for each of its results an Origin, or None.

    Args:
        function: is given the arguments in their order.
        arguments: by the names that a message has for them.

    Returns:
        A list in the order of `jax.tree.leaves` of what the function returns.
    """
    closed = jax.make_jaxpr(function)(*arguments.values())
    given: list[Tracked] = []
    for name, argument in arguments.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(argument):
            inner = jax.tree_util.keystr(path, simple=True, separator=".")
            given.append(_tracked(leaf, Origin(f"{name}.{inner}" if inner else name)))
    return [origin for _, origin in _run(closed, given)]


def _run(closed: ClosedJaxpr, given: Sequence[Tracked]) -> list[Tracked]:
    jaxpr: Jaxpr = closed.jaxpr
    known: dict[Any, Tracked] = {}
    fixed = Origin("a constant", constant=True)

    def read(atom: Any) -> Tracked:
        return _tracked(atom.val, fixed) if isinstance(atom, Literal) else known[atom]

    known |= {
        variable: _tracked(value, fixed)
        for variable, value in zip(jaxpr.constvars, closed.consts, strict=True)
    }
    known |= dict(zip(jaxpr.invars, given, strict=True))
    for equation in jaxpr.eqns:
        outs = _evaluate(equation, [read(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, outs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _evaluate(equation: JaxprEqn, given: list[Tracked]) -> list[Tracked]:
    name, parameters = equation.primitive.name, equation.params
    if name in CALLS:
        inner = parameters[CALLS[name]]
        return _run(inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ()), given)
    if name == "cond":
        return _run(parameters["branches"][int(given[0][0])], given[1:])
    if name == "scan":
        return _scan(equation, given)
    outs = equation.primitive.bind(*(value for value, _ in given), **parameters)
    outs = outs if equation.primitive.multiple_results else [outs]
    if all(_finite(out) for out in outs):
        return [(out, None) for out in outs]
    place = _place(equation)
    backward = "transpose(" in str(equation.source_info.name_stack)
    found: list[Tracked] = []
    for out in outs:
        nan = _has_nan(out)
        sources = [origin for _, origin in given if origin is not None]
        source = min(sources, key=lambda one: (one.constant, one.nan != nan), default=None)
        found.append(_tracked(out, Origin(name, place, backward, nan, source)))
    return found


def _scan(equation: JaxprEqn, given: list[Tracked]) -> list[Tracked]:
    """Every turn of a loop, one after the other."""
    body: ClosedJaxpr = equation.params["jaxpr"]
    backwards = equation.params["reverse"]
    # Constants, then what is carried on, then rows: the versions of JAX count them differently, but
    # in all of them only rows have an axis more outside.
    carried = _alike(equation.outvars, body.out_avals)
    first_row = _alike(equation.invars, body.in_avals)
    fixed, carry = given[: first_row - carried], given[first_row - carried : first_row]
    turns: list[list[Tracked]] = []
    order = range(equation.params["length"])
    for turn in reversed(order) if backwards else order:
        row = [_tracked(value[turn], origin) for value, origin in given[first_row:]]
        outs = _run(body, [*fixed, *carry, *row])
        carry = outs[:carried]
        turns.append(outs[carried:])
    stacked: list[Tracked] = []
    for column in zip(*turns, strict=True):
        bad = next((origin for _, origin in column if origin is not None), None)
        values = [value for value, _ in column]
        stacked.append((jax.numpy.stack(values[::-1] if backwards else values), bad))
    return [*carry, *stacked]


def _alike(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    pairs = zip(outside, inside, strict=True)
    return sum(atom.aval.ndim == inner.ndim for atom, inner in pairs)


def _tracked(value: Any, origin: Origin | None) -> Tracked:
    return value, None if _finite(value) else origin


def _finite(value: Any) -> bool:
    return not _is_float(value) or bool(np.isfinite(np.asarray(value)).all())


def _has_nan(value: Any) -> bool:
    return _is_float(value) and bool(np.isnan(np.asarray(value)).any())


def _is_float(value: Any) -> bool:
    return jax.dtypes.issubdtype(jax.typeof(value).dtype, np.inexact)


def _place(equation: JaxprEqn) -> str:
    """The innermost line that is of no library: `.../fsrf_jax/losses/noise.py:61, in info_nce`."""
    trace = equation.source_info.traceback
    frames: Sequence[Any] = trace.frames if trace else ()
    for frame in frames:
        if not frame.file_name.startswith(LIBRARIES):
            return f"{frame.file_name}:{frame.line_num}, in {frame.function_name}"
    return "an unknown place"
