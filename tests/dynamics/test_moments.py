"""Column moments against NumPy in double precision."""

import numpy as np

from cocoa.dynamics.moments import divisor, moments


def test_moments_are_those_of_numpy_and_constants_have_no_deviation():
    rows = np.random.default_rng(0).normal([1e3, 0, -1], [1, 1e-3, 5], (5000, 3))
    rows = np.column_stack([rows, np.full(5000, 0.3)]).astype(np.float32)
    mean, std = moments(rows)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, rows.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(std[:3], rows.astype(np.float64).std(0)[:3], rtol=1e-5)
    assert std[3] == 0
    np.testing.assert_array_equal(divisor(std), [*std[:3], 1])
