"""Damaged columns: each kind is refused with a message that names the key, the row and what to do."""

import numpy as np
import pytest
from support.columns import ROWS, assert_says, columns, write

from cocoa.data import Dataset, load
from cocoa.errors import DataError

REQUIRED = {"observations", "actions", "rewards", "terminals"}


ENV = "Pendulum-v1"  # 3 numbers per observation, 1 action in [-2, 2], 200 steps


def put(key, index, value, dtype=None):
    """A change that writes `value` at `index` of a column."""

    def change(data):
        data[key] = data[key].astype(dtype or data[key].dtype)
        data[key][index] = value

    return change


def reshape(key, shape):
    return lambda data: data.update({key: np.resize(data[key], shape)})


def drop(key):
    return lambda data: data.pop(key)


def single_steps(data):
    data.pop("next_observations")
    data["timeouts"][:] = True


DAMAGE = {
    "no observations": (drop("observations"), ["`observations`", "missing", "`", "found: actions"]),
    "no actions": (drop("actions"), ["`actions`", "missing"]),
    "no rewards": (drop("rewards"), ["`rewards`", "missing"]),
    "no terminals": (drop("terminals"), ["`terminals`", "missing"]),
    "NaN observation": (put("observations", (7, 2), np.nan), ["`observations`", "nan", "row 7, column 2"]),
    "infinite reward": (put("rewards", 3, np.inf), ["`rewards`", "inf", "row 3"]),
    "NaN action": (put("actions", (5, 0), np.nan), ["`actions`", "nan", "row 5"]),
    "infinite next": (put("next_observations", (39, 1), -np.inf), ["`next_observations`", "-inf", "row 39"]),
    "several NaN": (put("rewards", slice(4, 9), np.nan), ["`rewards`", "row 4", "5 bad rows"]),
    "too large": (put("observations", (2, 0), 1e300, "f8"), ["`observations`", "inf", "row 2", "float32"]),
    "flat observations": (reshape("observations", ROWS), ["`observations`", "(40,)", "(N, d)"]),
    "images": (reshape("observations", (ROWS, 4, 4)), ["`observations`", "(40, 4, 4)", "(N, d)"]),
    "empty vectors": (lambda d: d.update(observations=np.zeros((ROWS, 0))), ["`observations`", "(40, 0)"]),
    "flat actions": (reshape("actions", ROWS), ["`actions`", "(40,)", "(N, d)"]),
    "wide rewards": (reshape("rewards", (ROWS, 2)), ["`rewards`", "(40, 2)", "(N, 1)"]),
    "scalar terminals": (lambda d: d.update(terminals=np.bool_(False)), ["`terminals`", "()", "(N,)"]),
    "short actions": (reshape("actions", (ROWS - 3, 1)), ["`actions`", "37 rows", "40", "row 37"]),
    "long next": (reshape("next_observations", (ROWS + 1, 3)), ["`next_observations`", "41 rows", "row 40"]),
    "narrow next": (reshape("next_observations", (ROWS, 2)), ["`next_observations`", "2 numbers", "has 3"]),
    "text rewards": (lambda d: d.update(rewards=np.full(ROWS, b"x")), ["`rewards`", "dtype", "float32"]),
    "complex": (lambda d: d.update(actions=np.full((ROWS, 1), 1j)), ["`actions`", "complex128", "float32"]),
    "flag of 2": (put("terminals", 6, 2, np.uint8), ["`terminals`", "holds 2", "row 6", "bool"]),
    "flag of one half": (put("timeouts", 8, 0.5, "f4"), ["`timeouts`", "0.5", "row 8"]),
    "NaN flag": (put("terminals", 9, np.nan, "f4"), ["`terminals`", "nan", "row 9"]),
    "no rows": (lambda d: d.update({k: v[:0] for k, v in d.items()}), ["`observations`", "no rows"]),
    "single steps": (single_steps, ["no transition", "next_observations"]),
}


def test_the_undamaged_data_loads(tmp_path):
    assert len(load(write(tmp_path / "data.hdf5", columns()), env=ENV).rewards) == ROWS


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_columns_are_refused(tmp_path, kind):
    change, fragments = DAMAGE[kind]
    data = columns()
    change(data)
    path = write(tmp_path / "data.hdf5", data)
    with pytest.raises(DataError) as error:
        load(path)
    assert_says(error, str(path), *fragments)
    if data.keys() >= REQUIRED:
        with pytest.raises(DataError) as error:
            Dataset.from_arrays(**data, name="mine")
        assert_says(error, "mine", *fragments)


def test_action_bounds_are_the_environments(tmp_path):
    data = columns()
    data["actions"][3] = 2.0
    path = write(tmp_path / "data.hdf5", data)
    assert load(path, env=ENV).actions[3] == 2.0
    data["actions"][[4, 30]] = -2.001
    with pytest.raises(DataError) as error:
        load(write(path, data), env=ENV)
    assert_says(error, "`actions`", "-2.001", "row 4, column 0", "2 bad rows", "[-2, 2]", ENV)
    unbounded = load(path)
    assert unbounded.actions.min() == np.float32(-2.001)
    with pytest.raises(DataError) as error:
        unbounded.of_environment(ENV)
    assert_says(error, "`actions`", "-2.001", "env=")


def test_rounding_beyond_a_bound_is_let_through(tmp_path):
    data = columns()
    data["actions"][3] = 1 + 5e-6
    data["actions"] *= 2
    assert load(write(tmp_path / "data.hdf5", data), env=ENV).actions[3] > 2


@pytest.mark.parametrize(("key", "size"), [("observations", 3), ("actions", 1)])
def test_sizes_must_be_the_environments(tmp_path, key, size):
    data = columns()
    data |= {k: np.zeros((ROWS, size + 1), np.float32) for k in data if k.endswith(key)}
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", data), env=ENV)
    assert_says(error, f"`{key}`", f"{size + 1} numbers per row", ENV, f"has {size}")


def test_an_unknown_environment_names_the_nearest(tmp_path):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", columns()), env="Pendulm-v1")
    assert_says(error, "'Pendulm-v1'", "Pendulum-v1")


def test_an_environment_with_discrete_actions_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        load(write(tmp_path / "data.hdf5", columns()), env="CartPole-v1")
    assert_says(error, "CartPole-v1", "Discrete(2)", "continuous")


def test_a_bad_flag_in_a_column_is_named(tmp_path):
    data = columns()
    data["terminals"] = np.zeros((ROWS, 1))
    data["terminals"][10] = 2
    for make in (lambda: load(write(tmp_path / "data.hdf5", data)), lambda: Dataset.from_arrays(**data)):
        with pytest.raises(DataError, match="`terminals` holds 2 in row 10"):
            make()


def test_masked_values_are_not_taken_for_numbers():
    data = columns()
    data["rewards"] = np.ma.masked_equal(data["rewards"], data["rewards"][3])
    with pytest.raises(DataError, match="`rewards` has masked values"):
        Dataset.from_arrays(**data)
    data["rewards"] = np.ma.array(data["rewards"].data)
    Dataset.from_arrays(**data)
