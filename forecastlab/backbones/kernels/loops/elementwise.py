"""The elementwise functions of the kernels, as polynomials that become vector instructions."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from forecastlab.backbones.kernels.loops.compiling import OPTIONS, inlined


class Functions(NamedTuple):
    """Elementwise functions of one dtype."""

    exp: Callable[..., Any]
    tanh: Callable[..., Any]
    sigmoid: Callable[..., Any]
    logsigmoid: Callable[..., Any]


def functions(dtype: Any, integer: Any, degree: int, terms: int) -> Functions:
    """Elementwise functions of a dtype, exact to about two units in the last place.

    Args:
        dtype: the floating dtype.
        integer: the integer dtype of the same size.
        degree: degree of the Taylor polynomial of exp on +-ln(2)/2 that suffices for the dtype.
        terms: half the number of terms of the series of log(1 + e), 0 <= e <= 1, that suffices.
    """
    info = np.finfo(dtype)
    zero, half, one, two = (dtype(number) for number in (0, 0.5, 1, 2))
    one_bits, shift = integer(one.view(integer)), integer(info.nmant)
    magic = dtype(1.5 * 2.0**info.nmant)  # adding it rounds to an integer, which then stands in the lowest bits
    per_ln2, resolution = dtype(1 / math.log(2)), 2.0 ** (info.nmant - 11)
    ln2 = dtype(math.floor(math.log(2) * resolution) / resolution)  # few bits, so that its multiples are exact
    ln2_rest = dtype(Decimal(2).ln() - Decimal(float(ln2)))
    taylor = tuple(dtype(1 / math.factorial(k)) for k in range(degree, 2, -1))
    series = tuple(dtype(2 / (2 * k + 1)) for k in range(2 * terms, 0, -1))
    high_terms, low_terms = series[:terms], series[terms:]  # two loops: a long one would not be unrolled
    lowest, highest = dtype(math.log(info.tiny)), dtype(math.log(info.max) - 1)
    infinity, saturated = dtype(math.inf), dtype(info.nmant)

    @inlined
    def powers(x: Any) -> Any:
        # exp(x) = 2^n (1 + p) with p = exp(r) - 1 and |r| <= ln(2) / 2; gives p and 2^n.
        rounded = dtype(x * per_ln2 + magic)
        n = rounded - magic
        r = (x - n * ln2) - n * ln2_rest
        p = zero
        for coefficient in taylor:
            p = p * r + coefficient
        p = (p * r + half) * (r * r) + r
        return p, integer((dtype(rounded).view(integer) << shift) + one_bits).view(dtype)

    @inlined
    def exp_(x: Any) -> Any:
        p, power = powers(lowest if x < lowest else (highest if x > highest else x))
        y = power * p + power
        return zero if x < lowest else (infinity if x > highest else y)

    def exp(x: Any) -> Any:
        return exp_(x)

    def tanh(x: Any) -> Any:
        y = two * abs(x)
        p, power = powers(saturated if y > saturated else y)
        e = power * p + (power - one)  # exp(y) - 1, exact near 0
        return math.copysign(e / (e + two), x)

    def sigmoid(x: Any) -> Any:
        return one / (one + exp_(-x))

    def logsigmoid(x: Any) -> Any:
        # log(1 + e) = 2 artanh(s) with s = e / (2 + e)
        e = exp_(-abs(x))
        s = e / (two + e)
        square, q = s * s, zero
        for coefficient in high_terms:
            q = (q + coefficient) * square
        for coefficient in low_terms:
            q = (q + coefficient) * square
        return (zero if x > zero else x) - (q * s + two * s)

    return Functions(exp, tanh, sigmoid, logsigmoid)


SINGLE, DOUBLE = functions(np.float32, np.int32, 7, 4), functions(np.float64, np.int64, 13, 8)


def exp(x: Any) -> Any:
    """e^x."""


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""


def sigmoid(x: Any) -> Any:
    """The logistic function."""


def logsigmoid(x: Any) -> Any:
    """The logarithm of the logistic function."""


def _by_dtype(name: str) -> Callable[[Any], Any]:
    chosen = {types.float32: getattr(SINGLE, name), types.float64: getattr(DOUBLE, name)}

    def choose(x: Any) -> Any:  # the annotation as in the functions: numba compares
        return chosen.get(x)

    return choose


for _function in (exp, tanh, sigmoid, logsigmoid):
    overload(_function, jit_options={"forceinline": True, **OPTIONS})(_by_dtype(_function.__name__))
