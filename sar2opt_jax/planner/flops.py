"""Floating-point operations of a JAX function: those of its convolutions and matrix products, by their shapes."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def count(function: Callable[..., Any], *args: Any) -> float:
    """Operations of one call, a multiplication and an addition counted as two.

    Counted are convolutions and matrix products alone: of a U-Net's work all else is below one per cent. Padding is
    counted as if it were image; zeros that a strided convolution's gradient puts between pixels are not counted, nor is
    what no result needs, such as the gradient of an image.

    Args:
        function: what to trace.
        *args: arrays or ``jax.ShapeDtypeStruct``.
    """
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    used, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)  # As compilers do.
    return _of(used)


def _of(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in _COUNTED:
            total += _COUNTED[name](equation)
        repeats = equation.params["length"] if name == "scan" else 1
        inner = list(map(_of, _inner(equation.params.values())))
        total += max(inner) if name == "cond" else repeats * sum(inner)  # Of branches, as for platforms, one runs.
    return total


def _inner(values: Iterable[Any]) -> Iterable[Any]:
    """Jaxprs among an equation's parameters, such as the body of a loop or of a nested ``jit``."""
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner(value)


def _convolution(equation: Any) -> float:
    kernel, output = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
    dimensions = equation.params["dimension_numbers"].rhs_spec  # Of out channel, in channel of a group, space.
    taps = math.prod(kernel[axis] for axis in dimensions[1:])
    return 2.0 * math.prod(output) * taps / math.prod(equation.params["lhs_dilation"])


def _matrix_product(equation: Any) -> float:
    left, output = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    (contracted, _), _ = equation.params["dimension_numbers"]
    return 2.0 * math.prod(output) * math.prod(left[axis] for axis in contracted)


_COUNTED: dict[str, Callable[[Any], float]] = {"conv_general_dilated": _convolution, "dot_general": _matrix_product}
