"""Minari's datasets, made by its own collector: transitions, environments, and damaged folders."""

import json
import os
import shutil
import subprocess
import sys

import gymnasium
import h5py
import numpy as np
import pytest

import cocoa
from cocoa.data import load, normalized_score
from cocoa.data.catalog import catalog
from cocoa.data.scores import whose_references
from cocoa.data.sources import find_source, from_anywhere
from cocoa.environments.recorded import RECORDED
from cocoa.environments.spaces import make_environment, spaces
from cocoa.errors import DataError

minari = pytest.importorskip("minari")
pytest.importorskip("gymnasium_robotics")
from minari.data_collector import EpisodeBuffer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
MIRRORED = [[1, 1, 1, 1, 1], [1, "r", 0, 0, 1], [1, 0, 1, 1, 1], [1, 0, 0, "g", 1], [1, 1, 1, 1, 1]]
KITCHEN = {"microwave": 1, "kettle": 7, "light switch": 2, "slide cabinet": 1}


def edit(folder, **values):
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def collected(name, env, episodes, **options):
    env = minari.DataCollector(make_environment(env) if isinstance(env, str) else env)
    env.action_space.seed(0)
    for seed in range(episodes):
        env.reset(seed=seed)
        ended = False
        while not ended:
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            ended = terminated or truncated
    dataset = env.create_dataset(name, **options)
    env.close()
    return dataset


def buffered(name, observations, actions, space):
    steps = len(actions)
    flags = {"terminations": np.zeros(steps, bool), "truncations": np.zeros(steps, bool)}
    buffer = EpisodeBuffer(observations=observations, actions=actions, rewards=list(np.ones(steps)), **flags)
    actions = gymnasium.spaces.Box(-1, 1, actions.shape[1:], np.float64)
    minari.create_dataset_from_buffers(name, [buffer, buffer], observation_space=space, action_space=actions)


def box(size):
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)


def kitchen():
    rng = np.random.default_rng(0)
    goals = {task: rng.normal(size=(4, size)) for task, size in KITCHEN.items()}
    observations = {"observation": rng.normal(size=(4, 59)), "achieved_goal": goals, "desired_goal": goals}
    goal_space = gymnasium.spaces.Dict({task: box(size) for task, size in KITCHEN.items()})
    space = {"observation": box(59), "achieved_goal": goal_space, "desired_goal": goal_space}
    return observations, gymnasium.spaces.Dict(space)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of Minari with a hopper, two mazes, a kitchen, and one with discrete actions."""
    folder = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        collected("test/hopper-v0", "Hopper-v5", 40)
        collected("test/cartpole-v0", "CartPole-v1", 2)
        maze = gymnasium.make("PointMaze_UMaze-v3", max_episode_steps=20)
        mirrored = gymnasium.make("PointMaze_UMaze-v3", maze_map=MIRRORED, max_episode_steps=30).spec
        collected("test/maze-v0", maze, 3, eval_env=mirrored, ref_min_score=0.0, ref_max_score=8.0)
        collected("test/ant-v1", gymnasium.make("AntMaze_UMaze-v4", max_episode_steps=5), 2)
        observations, space = kitchen()
        buffered("test/kitchen-v0", observations, np.zeros((3, 9)), space)
        spec = gymnasium.spec("FrankaKitchen-v1").to_json()
        edit(folder / "test" / "kitchen-v0" / "data", env_spec=spec)
    return folder


@pytest.fixture(autouse=True)
def in_cache(cache, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(cache))


@pytest.fixture
def damaged(cache, tmp_path, monkeypatch):
    """A copy of the hopper dataset in a cache of its own; returns the folder of its files."""
    shutil.copytree(cache / "test" / "hopper-v0", tmp_path / "bad-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path / "bad-v0" / "data"


def test_transitions_are_those_that_minari_reads():
    dataset = load("minari:test/hopper-v0")
    start = 0
    for number, episode in enumerate(minari.load_dataset("test/hopper-v0").iterate_episodes()):
        rows = slice(start, start + len(episode.rewards))
        start = rows.stop
        np.testing.assert_array_equal(
            dataset.observations[rows], episode.observations[:-1].astype(np.float32)
        )
        np.testing.assert_array_equal(
            dataset.next_observations[rows], episode.observations[1:].astype(np.float32)
        )
        np.testing.assert_array_equal(dataset.actions[rows], episode.actions)
        np.testing.assert_allclose(dataset.rewards[rows], episode.rewards, rtol=1e-6)
        np.testing.assert_array_equal(dataset.terminals[rows], episode.terminations)
        assert (dataset.episodes[rows] == number).all()
    assert start == len(dataset)
    assert dataset.next_observed.all()
    assert dataset.complete.all()
    assert dataset.env == "Hopper-v5"


def test_time_limits_are_not_terminal_and_cut_recordings_not_complete():
    assert not load("minari:test/maze-v0").terminals.any()
    assert load("minari:test/maze-v0").complete.all()
    cut = load("minari:test/kitchen-v0")
    assert not cut.terminals.any()
    assert not cut.complete.any()
    assert len(cut.complete) == 2


def test_observations_are_those_of_d4rls_tasks():
    ant = load("minari:test/ant-v1")
    recorded = minari.load_dataset("test/ant-v1")[0].observations
    expected = np.concatenate([recorded["achieved_goal"], recorded["observation"]], axis=1)
    np.testing.assert_array_equal(ant.observations[:5], expected[:5].astype(np.float32))
    assert ant.observations.shape[1] == 29
    observations, _ = kitchen()
    found = load("minari:test/kitchen-v0").observations
    assert found.shape == (6, 60)
    robot_and_objects = observations["observation"][:3, [*range(9), *range(18, 39)]]
    np.testing.assert_array_equal(found[:3, :30], robot_and_objects.astype(np.float32))
    goal = observations["desired_goal"]
    np.testing.assert_array_equal(found[:3, 30 + 23 :], goal["kettle"][:3].astype(np.float32))
    np.testing.assert_array_equal(found[:3, 30 + 22], goal["microwave"][:3, 0].astype(np.float32))
    assert not found[:, 30:47].any()


@pytest.mark.filterwarnings("default")
def test_a_maze_says_how_it_is_flattened_and_that_its_evaluations_are_elsewhere():
    flattened = r"observation \(4\), desired_goal \(2\), in this order"
    with pytest.warns(UserWarning, match=flattened), pytest.warns(UserWarning, match="other walls"):
        dataset = load("minari:test/maze-v0")
    env = make_environment(dataset.env)
    observation, _ = env.reset(seed=0)
    inner = env.unwrapped
    np.testing.assert_array_equal(observation[4:], inner.goal)
    np.testing.assert_array_equal(observation[:2], inner.data.qpos[:2])
    assert inner.maze.maze_map == MIRRORED
    assert spaces(dataset.env).time_limit == 30


def test_a_kitchen_is_evaluated_in_d4rls():
    dataset = load("minari:test/kitchen-v0")
    assert dataset.env == "D4RL/kitchen-complete-v0"
    assert spaces(dataset.env).observation_dim == dataset.observations.shape[1]


def test_scores_say_whose_references_they_use():
    hopper, maze = load("minari:test/hopper-v0"), load("minari:test/maze-v0")
    assert whose_references(hopper.env) == whose_references(hopper.name) == "D4RL's references"
    assert normalized_score(hopper.env, 3234.3) == normalized_score(hopper.name, 3234.3) == 100
    assert whose_references(maze.env) == whose_references(maze.name) == "the dataset's references"
    assert normalized_score(maze.env, 2.0) == normalized_score(maze.name, 2.0) == 25
    assert whose_references(load("minari:test/ant-v1").env) is None


def test_names_are_those_in_the_cache_and_need_no_version():
    source = find_source("minari:test/hopper")
    assert "minari:test/hopper-v0" in source.names()
    assert from_anywhere("minari:test/hopper") == "minari:test/hopper-v0"
    assert source.info("minari:test/maze-v0").env == "minari/test.maze-v0"
    assert source.info("minari:test/hopper-v0").cached
    assert source.info("minari:test/other-v0").extra == "minari"
    assert [entry.extras for entry in catalog("minari:test/ant")] == [("robotics",)]
    for name in ("minari:../hopper-v0", "minari:/etc/x-v0", "minari:"):
        with pytest.raises(DataError, match="no name of a Minari dataset"):
            load(name)
    with pytest.raises(DataError, match=r"has no version.*minari:test/hopper-v0"):
        load("minari:test/hoper")


def test_a_failed_download_says_what_to_do(monkeypatch):
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://farama")
    with pytest.raises(
        DataError, match=r"from nowhere://farama failed.*MINARI_DATASETS_PATH.*minari:test/hopper-v0"
    ):
        load("minari:test/hoper-v0")


def test_without_the_extra_cached_datasets_are_read_and_others_name_it(cache):
    script = """
import importlib.util, sys
find, absent = importlib.util.find_spec, ("minari", "gymnasium_robotics")
importlib.util.find_spec = lambda name, *rest: None if name in absent else find(name, *rest)
sys.modules.update(dict.fromkeys(absent))
import cocoa
print(len(cocoa.load("minari:test/hopper-v0")), cocoa.load("minari:test/ant-v1").env)
for name in ("minari:test/none-v0", "minari:test/ant-v1"):
    try:
        cocoa.fit(cocoa.BC(), name, updates=1)
    except cocoa.UserError as error:
        print(error)
"""
    env = {**os.environ, "MINARI_DATASETS_PATH": str(cache)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=env
    )
    first, second, third = result.stdout.splitlines()
    assert first.endswith(" None"), result.stderr
    assert "minari:test/none-v0" in second
    assert "cocoa-rl[minari]" in second
    assert "cocoa-rl[robotics]" in third


def test_discrete_actions_are_refused():
    with pytest.raises(DataError, match=r"its actions are Discrete\(2\)"):
        load("minari:test/cartpole-v0")


def test_images_are_refused(damaged):
    edit(damaged, observation_space=json.dumps({"type": "Box", "shape": [64, 64, 3], "dtype": "uint8"}))
    with pytest.raises(DataError, match=r"Box of shape \(64, 64, 3\)"):
        load("minari:bad-v0")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"total_episodes": 41}, "declares 41 episodes, and main_data.hdf5 holds 40"),
        ({"total_episodes": 0}, "declares 0 episodes"),
        ({"total_steps": "many"}, "declares many steps"),
        ({"data_format": "arrow"}, "stored as arrow"),
        ({"observation_space": "{}"}, "is a None"),
        ({"observation_space": None}, "no observation_space"),
        (
            {"action_space": '{"type": "Box", "shape": [4], "dtype": "float32"}'},
            "episode_0/actions` has shape",
        ),
        ({"observation_space": '{"type": "Box", "shape": [1000000000]}'}, "observations` is"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(damaged, values, message):
    edit(damaged, **values)
    with pytest.raises(DataError, match=message):
        load("minari:bad-v0")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_damaged_metadata_are_refused(damaged, content):
    (damaged / "metadata.json").write_bytes(content)
    with pytest.raises(DataError, match=r"metadata\.json"):
        load("minari:bad-v0")


def lacks_a_key(file):
    del file["episode_3/rewards"]


def lacks_an_episode(file):
    del file["episode_3"]


def holds_nan(file):
    file["episode_3/observations"][1, 2] = np.nan


def has_few_observations(file):
    file["episode_3/observations"].resize(3, axis=0)


def links_outside(file):
    del file["episode_3/actions"]
    file["episode_3/actions"] = h5py.ExternalLink("/etc/passwd", "x")


def declares_too_much(file):
    del file["episode_3/rewards"]
    file.create_dataset("episode_3/rewards", (10**12,), "f8", chunks=(1000,))


def has_text(file):
    del file["episode_3/actions"]
    file["episode_3/actions"] = [b"a"]


def has_other_flags(file):
    steps = len(file["episode_3/rewards"])
    del file["episode_3/terminations"]
    file["episode_3/terminations"] = np.full(steps, 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lacks_a_key, "episode_3/rewards"),
        (lacks_an_episode, "not numbered"),
        (holds_nan, "holds nan"),
        (has_few_observations, r"episode_3/observations` has shape \(3, 11\)"),
        (links_outside, "external link"),
        (declares_too_much, "declares|memory"),
        (has_text, "episode_3/actions` has shape"),
        (has_other_flags, "other numbers than 0 and 1"),
    ],
)
def test_damaged_episodes_are_refused(damaged, damage, message):
    with h5py.File(damaged / "main_data.hdf5", "a") as file:
        damage(file)
    with pytest.raises(DataError, match=message):
        load("minari:bad-v0")


def test_truncated_files_are_refused(damaged):
    path = damaged / "main_data.hdf5"
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError):
            load("minari:bad-v0")
    path.unlink()
    with pytest.raises(DataError, match="no file"):
        load("minari:bad-v0")


def spec_of(**values):
    spec = json.loads(gymnasium.spec("Hopper-v5").to_json())
    return json.dumps(spec | values)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{", "it is damaged"),
        ("5", "it is damaged"),
        (spec_of(id="Evil-v0", entry_point="antigravity:run"), "Gymnasium does not know 'Evil-v0'"),
        (spec_of(kwargs={"xml_file": "/tmp/evil.xml"}), "may name a file"),
        (spec_of(kwargs={"frame_skip": 10**9}), "its argument 1000000000 is larger than 10,000"),
        (spec_of(kwargs={"maze_map": [[1] * 100] * 100}), "longer than those of any known environment"),
        (spec_of(kwargs={"inner": [{"env": "module:Evil-v0"}]}), "may name a file or a module"),
        (
            spec_of(additional_wrappers=[{"name": "Evil", "entry_point": "antigravity:Evil", "kwargs": {}}]),
            "its wrapper Evil",
        ),
    ],
)
def test_environments_are_not_made_of_code_that_data_name(damaged, spec, message):
    edit(damaged, env_spec=spec)
    with pytest.warns(UserWarning, match=message):
        assert load("minari:bad-v0").env is None
    assert load("minari:bad-v0", "Hopper-v4").env == "Hopper-v4"
    assert "antigravity" not in sys.modules


def test_arguments_and_wrappers_of_a_recording_are_kept(damaged):
    inner = gymnasium.make("Hopper-v5", max_episode_steps=77, terminate_when_unhealthy=False)
    wrapped = gymnasium.wrappers.RescaleAction(inner, -1.0, 1.0)
    edit(damaged, env_spec=wrapped.spec.to_json())
    env = load("minari:bad-v0").env
    assert env == "minari/bad-v0"
    assert spaces(env).time_limit == 77
    made = make_environment(env)
    made.reset(seed=0)
    ends = [made.step(np.ones(3, np.float32))[2:4] for _ in range(77)]
    assert ends[-1] == (False, True)
    assert not any(any(end) for end in ends[:-1])
    assert normalized_score(env, 1.0) is None


@pytest.mark.parametrize(
    ("name", "algorithm", "anchors"),
    [
        ("minari:test/hopper", cocoa.BC(hidden=(8,)), "zero"),
        ("minari:test/maze-v0", cocoa.BC(hidden=(8,)), None),
    ],
)
def test_runs_are_trained_evaluated_and_resumed(name, algorithm, anchors, tmp_path):
    settings = dict(
        updates=20,
        eval_every=10,
        eval_episodes=1,
        log_every=5,
        batch_size=16,
        cache_dir=str(tmp_path / "cache"),
        runs_dir=str(tmp_path / "runs"),
    )
    policy = cocoa.fit(algorithm, name, cocoa=anchors, **settings)
    summary = json.loads((policy.folder / "summary.json").read_text())
    assert summary["dataset"] == from_anywhere(name)
    assert summary["evaluations"] == 2
    assert summary["score"]["mean"] is not None
    assert f"on {summary['references']})" in (policy.folder / "log.txt").read_text()
    states = load(name).observations[:3]
    np.testing.assert_array_equal(cocoa.load_policy(policy.folder)(states), policy(states))
    for env in RECORDED:  # as in another process
        gymnasium.registry.pop(env, None)
    assert cocoa.resume(policy.folder, updates=30).folder == policy.folder
