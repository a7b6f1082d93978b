"""An environment for datasets of two observations and one action."""

import gymnasium
import pytest
from support.columns import TIME_LIMIT, Toy


@pytest.fixture(scope="module", autouse=True)
def toy_env():
    gymnasium.register("DatasetToy-v0", Toy, max_episode_steps=TIME_LIMIT)
    yield
    del gymnasium.registry["DatasetToy-v0"]
