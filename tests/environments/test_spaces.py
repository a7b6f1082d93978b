"""What is read of an environment's spaces, and when it is read again."""

import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from support.robots import Robot, registered

from cocoa.environments.spaces import spaces
from cocoa.errors import DataError


def test_spaces_are_those_of_the_latest_registration():
    for limit in (1, 2):
        with registered(action_space=Box(-limit, limit, (2,), np.float32), max_episode_steps=limit):
            assert spaces("Robot-v0").action_high.tolist() == [limit, limit]
            assert spaces("Robot-v0").time_limit == limit
    with pytest.raises(DataError, match="cannot be made"):
        spaces("Robot-v0")


def test_spaces_are_read_once_and_again_when_keywords_or_the_class_change():
    made = []

    def robot(limit):
        def init(self, scale=1.0):
            made.append(scale)
            self.action_space = Box(-scale * limit, scale * limit, (2,), np.float32)

        return type("Robot", (Robot,), {"__init__": init, "close": lambda self: None})

    module = types.ModuleType("robots_of_a_test")
    sys.modules[module.__name__] = module
    try:
        module.Robot = robot(1)
        gymnasium.register("Named-v0", entry_point=f"{module.__name__}:Robot")
        for env in ("Named-v0", f"{module.__name__}:Named-v0"):
            first, again = spaces(env), spaces(env)
            assert first is again
        assert made == [1.0, 1.0]
        gymnasium.registry["Named-v0"].kwargs["scale"] = 3.0
        assert spaces("Named-v0").action_high[0] == 3
        module.Robot = robot(2)
        assert spaces("Named-v0").action_high[0] == 6
        assert spaces(f"{module.__name__}:Named-v0").action_high[0] == 6
    finally:
        del sys.modules[module.__name__]
        gymnasium.registry.pop("Named-v0", None)


def test_an_environment_of_another_package_is_told_to_be_named_with_it():
    with pytest.raises(DataError, match=r"name that, as in env=gymnasium_robotics:AdroitNothing-v1\."):
        spaces("AdroitNothing-v1")
    with pytest.raises(DataError) as error:
        spaces("gymnasium:Hoper-v4")
    assert "name that" not in str(error.value)


def test_an_environment_without_spaces_is_told():
    class Blank(Robot):
        observation_space = property(lambda self: self.missing)

    with (
        registered(base=Blank) as kind,
        pytest.raises(DataError, match="does not tell its observation_space"),
    ):
        spaces("Robot-v0")
    assert kind.opened == 0
