"""Distances against SciPy's k-d tree, and diagnostics of anchors whose quality is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.spatial import cKDTree

from cocoa.anchors.diagnostics import MEASURES, diagnose, nearest_distances, random_policy_states
from cocoa.anchors.random import RandomMap
from cocoa.anchors.zero import ZeroMap

GROUPS = ["data", "perturbed-0.1", "perturbed-0.3", "perturbed-1.0"]
PLANE = np.array([0, 0, 0, 1, 1], np.float32)  # data vary in the first three of five dimensions


def flat_data(rows=5000, scale=1.0):
    """States whose last two dimensions hardly vary, and their standard deviation."""
    states = np.random.default_rng(0).normal(0, 1, (rows, 5)) * np.where(PLANE, 1e-3, 1.0)
    return (scale * states).astype(np.float32), np.full(5, scale, np.float32)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_nearest_distances_are_those_of_a_kd_tree(offset):
    rng = np.random.default_rng(1)
    reference = (offset + rng.normal(0, 1, (5001, 7))).astype(np.float32)
    queries = (offset + rng.normal(0, 3, (300, 7))).astype(np.float32)
    queries[:50] = reference[-50:]
    queries[50:100] = reference[:50] + np.float32(1e-3)
    expected, _ = cKDTree(reference.astype(np.float64)).query(queries.astype(np.float64))
    np.testing.assert_allclose(nearest_distances(queries, reference), expected, rtol=1e-6, atol=1e-4)
    assert expected[:50].max() == 0


def test_anchors_on_the_data_are_found_nearer():
    states, std = flat_data(60_000)
    measured = diagnose(Partial(lambda s: s * (1 - PLANE)), states, std)
    summary = measured.summary()
    assert summary["anchors/perturbed-1.0/nearer"] > 99
    assert summary["anchors/perturbed-0.3/nearer"] > 90
    assert summary["anchors/perturbed-1.0/nn_anchor"] < 0.5 * summary["anchors/perturbed-1.0/nn_state"]
    # The projection's differences are what was added out of the plane: a Rayleigh variable, median 1.177 σ.
    for size in (0.1, 0.3, 1.0):
        assert summary[f"anchors/perturbed-{size}/delta"] == pytest.approx(1.177 * size, rel=0.1)
        assert summary[f"anchors/perturbed-{size}/nn_delta"] == pytest.approx(1.177 * size, rel=0.15)


def test_measures_are_those_of_an_independent_computation():
    states, std = flat_data(1000)
    shift = np.array([0.5, 0, 0, 0, 0.25], np.float32)
    measured = diagnose(Partial(lambda s: s + shift), states, std, samples=10)
    tree = cKDTree(states)
    for group in GROUPS:
        rows = measured.groups[group]
        np.testing.assert_allclose(rows["delta"], np.linalg.norm(shift), rtol=1e-5)
        np.testing.assert_allclose(rows["nn_delta"], 0, atol=1e-5)
        assert all(values.shape == (10,) for values in rows.values())
    # The state itself is held out, so the data's distances are those to the second of all states.
    second = tree.query(states, k=2)[0][:, 1]
    for distance in measured.groups["data"]["nn_state"]:
        assert np.abs(second - distance).min() < 1e-5


def test_held_out_states_are_not_among_their_own_neighbours():
    states, std = flat_data()
    data = diagnose(ZeroMap(), states, std).groups["data"]
    assert len(data["nn_state"]) == 50
    assert data["nn_state"].min() > 0


def test_the_state_itself_is_no_nearer_and_its_difference_no_news():
    states, std = flat_data()
    measured = diagnose(ZeroMap(), states, std)
    for group in GROUPS:
        rows = measured.groups[group]
        np.testing.assert_allclose(rows["nn_anchor"], rows["nn_state"], rtol=1e-6)
        assert not rows["delta"].any()
        assert not rows["nn_delta"].any()
        assert measured.summary()[f"anchors/{group}/nearer"] == 0


def test_data_states_as_anchors_lie_on_the_data_and_far_away():
    states, std = flat_data()
    measured = diagnose(RandomMap(jnp.asarray(states), jnp.uint32(3)), states, std).groups["perturbed-0.3"]
    assert np.median(measured["nn_anchor"]) == pytest.approx(0, abs=1e-3)
    assert np.median(measured["delta"]) > 1.5


def test_units_of_the_states_do_not_matter():
    for scale in (1e-2, 1e3):
        states, std = flat_data(scale=scale)
        summary = diagnose(Partial(lambda s: 0.5 * s), states, std).summary()
        states, std = flat_data()
        expected = diagnose(Partial(lambda s: 0.5 * s), states, std).summary()
        assert summary == pytest.approx(expected, rel=1e-3, abs=2.0)


def test_summary_and_table_have_a_place_for_every_number():
    states, std = flat_data()
    measured = diagnose(ZeroMap(), states, std, "Hopper-v4-that-does-not-exist")
    assert list(measured.groups) == GROUPS
    assert set(measured.summary()) == {
        f"anchors/{group}/{name}" for group in GROUPS for name in [*MEASURES, "nearer"]
    }
    lines = measured.table().splitlines()
    assert len(lines) == 2 + len(GROUPS)
    assert len({line.count("|") for line in lines}) == 1
    assert f"{measured.summary()['anchors/perturbed-0.3/nn_state']:.2f}" in lines[4]


def test_random_policy_visits_seeded_states():
    first, again, other = (random_policy_states("InvertedPendulum-v5", 200, seed) for seed in (0, 0, 1))
    assert first is not None
    assert other is not None
    assert first.shape == (200, 4)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(np.unique(first, axis=0)) == 200
    assert random_policy_states(None, 10, 0) is None
    states = first + np.random.default_rng(0).normal(0, 0.01, first.shape).astype(np.float32)
    measured = diagnose(ZeroMap(), states, states.std(0), "InvertedPendulum-v5", samples=100)
    assert len(measured.groups["random-policy"]["nn_state"]) == 100
