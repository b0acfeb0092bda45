from __future__ import annotations

import math

import pytest

from dataflow.report.numbers import amount, megabytes, percent, seconds, times


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.001234, "0.00123"), (4.5678, "4.57"), (78.94, "78.9"), (1234.5, "1,234"), (0, "0"),
        (-2.5, "-2.50"),
        (None, "-"), (math.nan, "-"), (math.inf, "-"),
    ],
)  # fmt: skip
def test_amounts_have_three_digits(value, shown):
    assert amount(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (1, "100%"),
        (0, "0%"),
        (0.5, "50%"),
        (0.933, "93.3%"),
        (0.99999, "99.9%"),
        (0.00001, "0.1%"),
        (None, "-"),
    ],
)
def test_what_is_not_all_is_never_shown_as_all(fraction, shown):
    assert percent(fraction) == shown


def test_units_fit_the_size():
    assert (seconds(0.0123), seconds(12.34), seconds(0), seconds(None)) == ("12.3 ms", "12.3 s", "0 s", "-")
    assert (megabytes(512e6), megabytes(None)) == ("512 MB", "-")
    assert (times(1.236), times(None), times(1234.5)) == ("1.24x", "-", "1,234.50x")
