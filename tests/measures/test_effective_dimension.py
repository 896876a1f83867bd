"""Effective dimension inverts the uniformity of a sphere."""

import decimal
import math

import pytest
import scipy.special
from hypothesis import example, given
from hypothesis import strategies as st

import tolerance
from points import gaussian
from tausweep.measures import geometry
from tausweep.measures.sphere_dimension import effective_dimension

pytestmark = pytest.mark.numerical


def log_0f1(b: float, z: float) -> float:
    """log 0F1(; b; z) by its definition, sum_k z^k / (k! (b)_k), in 40 digits.

    SciPy's goes by two logarithms of the gamma function that cancel: ten digits at b = 150.
    """
    with decimal.localcontext(prec=40):
        total = term = decimal.Decimal(1)
        for k in range(1, 100):
            term *= decimal.Decimal(z) / (k * (decimal.Decimal(b) + k - 1))
            total += term
        return float(total.ln())


def dimension_error(d: float, t: float) -> float:
    """Relative error of the d of a uniformity: its rounding over the slope d dU/dd.

    U = 2t - log 0F1(d/2; t^2) is given and found with some ten roundings of numbers up to 4t (and
    of 1 + what is left of 0F1), and changes by d dU/dd for a relative step in d, taken as a
    difference here; the root is sought to 1e-13 in log d.
    """
    below, above = (log_0f1(d * math.exp(step) / 2, t * t) for step in (-0.01, 0.01))
    return 10 * (1 + 4 * t) * tolerance.eps() / ((below - above) / 0.02) + 2e-13


@pytest.mark.parametrize("t", [0.5, 2.0, 3.0, 25.0])
def test_effective_dimension_inverts_closed_forms(t: float) -> None:
    """S^0: cosh 2t; S^1: I0(2t); S^2: sinh(2t) / 2t; S^3: I1(2t) / t."""
    forms = {
        2: scipy.special.i0(2 * t),
        3: math.sinh(2 * t) / (2 * t),
        4: scipy.special.i1(2 * t) / t,
    }
    for d, mean in forms.items():
        found = effective_dimension(2 * t - math.log(mean), t)
        assert found == pytest.approx(d, rel=dimension_error(d, t))
    assert effective_dimension(2 * t - math.log(math.cosh(2 * t)) + 1e-9, t) > 1


@given(d=st.floats(1.01, 1e4), t=st.floats(0.5, 5))
@example(d=103.0, t=1.0)
@example(d=303.0, t=0.5)
def test_effective_dimension_inverts_the_hypergeometric_function(d: float, t: float) -> None:
    uniformity = 2 * t - log_0f1(d / 2, t * t)
    found = effective_dimension(uniformity, t)
    assert found == pytest.approx(d, rel=dimension_error(d, t))


def test_effective_dimension_of_the_papers_ceiling_is_128() -> None:
    assert effective_dimension(3.9375) == pytest.approx(128, abs=0.1)
    assert effective_dimension(5.8595, t=3) == pytest.approx(128, abs=0.1)


def test_effective_dimension_of_a_sample_is_that_of_its_sphere() -> None:
    for d in (2, 3, 20):
        spread = geometry.uniformity(gaussian(4000, d))
        assert effective_dimension(spread) == pytest.approx(d, rel=0.02)


def test_effective_dimension_at_its_limits() -> None:
    assert effective_dimension(0.0) == 1.0
    assert effective_dimension(2 - 0.5 * math.log(math.cosh(4)) - 1) == 1.0
    assert effective_dimension(4.0) == math.inf
    assert effective_dimension(8.0) == math.inf
    with pytest.raises(ValueError, match="not allowed"):
        effective_dimension(math.nan)
