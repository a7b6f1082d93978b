"""Sets that are collected: what they consist of, how they are read, and how a cut collection goes on."""

import json
import shutil
import signal
from dataclasses import replace

import h5py
import jax
import numpy as np
import pytest
from support.robots import Robot, registered

import cocoa
from cocoa.algos.sac import SAC
from cocoa.collection import policies
from cocoa.collection.card import References
from cocoa.collection.launch import collect, run
from cocoa.collection.settings import SETS, collection, command
from cocoa.environments.spaces import make_environment
from cocoa.runs.metrics import read_metrics
from cocoa.training.online import Online
from cocoa.training.stepping import Stepper

SETTINGS = collection(
    {
        "env": "InvertedPendulum-v4",
        "steps": 240,
        "warmup": 80,
        "every": 20,
        "envs": 2,
        "batch_size": 16,
        "transitions": 300,
        "eval_every": 80,
        "eval_episodes": 2,
        "seeds": (3, 7),
        "algo.hidden": (8,),
    }
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(replace(SETTINGS, folder=str(tmp_path_factory.mktemp("whole") / "sets")))


def read(folder, kind, seed=3):
    with h5py.File(folder / f"InvertedPendulum-v4-{kind}-seed{seed}.hdf5") as file:
        columns = {}
        file.visititems(lambda name, x: columns.update({name: x[:]}) if isinstance(x, h5py.Dataset) else None)
        return columns, dict(file.attrs)


def assert_same(columns, others):
    jax.tree.map(np.testing.assert_array_equal, columns, others)


def concatenated(*parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


@pytest.mark.parametrize("kind", SETS)
def test_each_set_has_d4rls_layout_and_is_read(whole, kind):
    columns, attributes = read(whole, kind)
    rows = len(columns["rewards"])
    shapes = {"observations": (4,), "next_observations": (4,), "actions": (1,), "rewards": ()}
    for key, shape in shapes.items():
        assert columns[key].shape == (rows, *shape)
        assert columns[key].dtype == np.float32
    assert columns["infos/qpos"].shape == columns["infos/qvel"].shape == (rows, 2)
    assert columns["infos/action_log_probs"].shape == (rows,)
    assert not (columns["terminals"] & columns["timeouts"]).any()
    assert abs(columns["actions"]).max() > 1.5  # the environment's units: its bounds are -3 and 3
    dataset = cocoa.load(whole / f"InvertedPendulum-v4-{kind}-seed3.hdf5")
    assert (dataset.env, len(dataset)) == ("InvertedPendulum-v4", rows)
    assert dataset.next_observed.all()
    assert attributes["command"] == command(SETTINGS)
    assert json.loads(attributes["configuration"])["steps"] == 240
    assert json.loads(attributes["versions"])["mujoco"]


def test_recorded_states_lead_to_what_was_recorded(whole):
    columns, _ = read(whole, "full-replay")
    env = make_environment("InvertedPendulum-v4")
    env.reset()
    for row in range(0, 240, 7):
        env.unwrapped.set_state(columns["infos/qpos"][row], columns["infos/qvel"][row])
        state, reward, terminal, _, _ = env.step(columns["actions"][row])
        np.testing.assert_allclose(state, columns["next_observations"][row], atol=1e-4)
        assert (reward, terminal) == (columns["rewards"][row], columns["terminals"][row])


def test_replays_are_the_steps_of_the_training(whole):
    """Of each instance one after the other; the medium policy's up to where it was kept."""
    full, _ = read(whole, "full-replay")
    part, attributes = read(whole, "medium-replay")
    medium = attributes["training_steps"]
    assert len(full["rewards"]) == 240
    assert medium in (80, 160, 240)
    first, second = ({key: x[start : start + medium // 2] for key, x in full.items()} for start in (0, 120))
    assert_same(part, concatenated(first, second))


def test_sets_of_policies_are_whole_episodes_and_mixed_ones_both(whole):
    medium, expert, both = (read(whole, kind)[0] for kind in ("medium", "expert", "medium-expert"))
    assert_same(both, concatenated(medium, expert))
    for columns in (medium, expert, read(whole, "random")[0]):
        ends = columns["terminals"] | columns["timeouts"]
        assert ends[-1]
        assert 200 < len(ends) <= 300
        broken = (columns["next_observations"][:-1] != columns["observations"][1:]).any(axis=1)
        np.testing.assert_array_equal(broken, ends[:-1])


def test_random_actions_are_uniform_within_the_bounds(whole):
    columns, attributes = read(whole, "random")
    assert attributes["training_steps"] == 0
    assert abs(columns["actions"]).max() <= 3
    assert abs(columns["actions"].mean()) < 0.4
    assert abs(columns["actions"].std() - np.sqrt(3)) < 0.3
    np.testing.assert_allclose(columns["infos/action_log_probs"], -np.log(2))


def test_the_medium_policy_is_the_first_beyond_a_third(whole):
    steps, returns = read_metrics(whole / "metrics.csv").values("evaluation/return")
    for row, seed in enumerate((3, 7)):
        low = cocoa.load(whole / f"InvertedPendulum-v4-random-seed{seed}.hdf5").behaviour_return
        threshold = min(low + (returns[row, -1] - low) / 3, returns[row, -1])
        _, attributes = read(whole, "medium", seed)
        assert attributes["training_steps"] == steps[returns[row] >= threshold][0]


@pytest.mark.parametrize(
    ("returns", "step", "advice"),
    [
        ([12.0, 19.9, 20.0, 14.0, 40.0], 300, None),
        ([30.0, 40.0], 100, "Evaluate more often"),
        ([3.0, 7.0, 6.0], 200, "Train longer"),
        ([10.0, 10.0], 100, "Train longer"),
    ],
)
def test_the_medium_policy_of_a_known_curve(returns, step, advice):
    """Random actions return 10."""
    steps, returns = 100 * np.arange(1, len(returns) + 1), np.array(returns)
    assert policies.medium_step(steps, returns, 10.0) == step
    warning = policies.medium_warning(7, returns, 10.0)
    assert (advice in warning and "seed 7" in warning) if advice else warning is None


@pytest.mark.parametrize(
    ("last", "scale"),
    [
        ([5.0, 7.0], (2, 6)),
        ([3.0, 3.0], (2, 3)),
        ([2.0, 3.0], None),
        ([1.0, 1.0], None),
        ([2.0, 2.0], None),
        ([9.0], None),
    ],
)
def test_a_last_policy_that_is_not_clearly_better_gives_no_scale(last, scale):
    """The standard error of the random actions' mean is 0.577 / sqrt(4)."""
    random = np.array([1.5, 2.5, 1.5, 2.5])
    assert References.of(random, np.array(last)).scale == scale


def test_references_are_the_collections_own(tmp_path):
    def step(self, action):
        state, _, *rest = Robot.step(self, action)
        return state, float(action[0]), *rest

    algo = replace(SETTINGS.algo, actor_learning_rate=0.03, critic_learning_rate=0.03, discount=0.0)
    sets = {"sets": ("random", "expert"), "folder": str(tmp_path / "sets")}
    settings = replace(SETTINGS, env="Robot-v0", seeds=(3,), algo=algo, **sets)
    with registered(step=step):
        folder = run(settings)
        made = [cocoa.load(folder / f"Robot-v0-{kind}.hdf5") for kind in settings.sets]
    low, high = (dataset.episode_returns[dataset.complete].mean() for dataset in made)
    for dataset in made:
        np.testing.assert_allclose(dataset.reference_returns, (low, high))
    lines = (folder / "README.md").read_text().splitlines()
    for kind, score in zip(settings.sets, ("0.0", "100.0"), strict=True):
        assert next(line for line in lines if line.startswith(f"| {kind} |")).endswith(f" | {score} |")


def test_worse_references_in_a_file_give_no_score(whole, tmp_path):
    copied = shutil.copy(whole / "InvertedPendulum-v4-medium-seed3.hdf5", tmp_path)
    for worse, better in ((4.0, 6.0), (6.0, 4.0)):
        with h5py.File(copied, "r+") as file:
            file.attrs["reference_returns"] = worse, better
        score = pytest.approx(100) if worse < better else None
        assert cocoa.normalized_score(copied, better) == score


def test_equal_references_leave_sets_without_a_score(tmp_path):
    def step(self, action):
        state, _, *rest = Robot.step(self, action)
        return state, 0.0, *rest

    settings = replace(SETTINGS, env="Robot-v0", seeds=(3,), sets=("expert",), folder=str(tmp_path / "sets"))
    with registered(step=step):
        folder = run(settings)
        assert cocoa.normalized_score(str(folder / "Robot-v0-expert.hdf5"), 1.0) is None
        dataset = cocoa.load(folder / "Robot-v0-expert.hdf5")
    assert (
        f"| expert | {len(dataset)} | {len(dataset.complete)} | 0.0 | 0.0 | 0.0 | - |"
        in (folder / "README.md").read_text()
    )
    assert "no more than random actions" in (folder / "log.txt").read_text()


def test_the_card_shows_all_sets(whole):
    card = (whole / "README.md").read_text()
    for kind in SETS:
        for seed in (3, 7):
            assert f"| {kind} of seed {seed} | " in card
    assert command(SETTINGS) in card
    assert (whole / "returns.png").stat().st_size > 10_000


def interrupted(monkeypatch, owner, name, call, tmp_path):
    """Press Ctrl-C in a call of a method, go on, and return the folder."""
    settings, calls, original = replace(SETTINGS, folder=str(tmp_path / "sets")), [], getattr(owner, name)

    def pressed(self, *arguments):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, pressed)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    return run(settings)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(Online, "block", 6), (Stepper, "advance", 14)],
    ids=["between evaluations", "while a policy is recorded"],
)
def test_a_cut_collection_is_the_whole_one(whole, monkeypatch, tmp_path, owner, name, call):
    monkeypatch.setattr(policies, "_BLOCK", 70)
    folder = interrupted(monkeypatch, owner, name, call, tmp_path)
    assert (folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    for kind in SETS:
        for seed in (3, 7):
            assert_same(read(folder, kind, seed)[0], read(whole, kind, seed)[0])
    assert (folder / "README.md").read_text() == (whole / "README.md").read_text()


def test_a_finished_collection_makes_what_is_missing(whole, monkeypatch):
    monkeypatch.setattr(Stepper, "advance", None)
    path = whole / "InvertedPendulum-v4-medium-expert-seed7.hdf5"
    content = path.read_bytes()
    path.unlink()
    run(replace(SETTINGS, folder=str(whole)))
    assert path.read_bytes() == content


def test_other_settings_need_another_folder(whole):
    with pytest.raises(cocoa.ConfigError, match=r"batch_size was 16 and is 32.*another folder="):
        run(replace(SETTINGS, folder=str(whole), batch_size=32))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(cocoa.ConfigError, match="holds other files"):
        run(replace(SETTINGS, folder=str(tmp_path)))


@pytest.mark.parametrize(
    "anchors", [None, cocoa.Zero(encoder_hidden=(8,), embedding=2)], ids=["plain", "cocoa"]
)
def test_the_medium_set_trains_a_policy(whole, tmp_path, anchors):
    policy = cocoa.fit(
        cocoa.IQL(hidden=(8,)),
        whole / "InvertedPendulum-v4-medium-seed3.hdf5",
        cocoa=anchors,
        updates=4,
        log_every=2,
        eval_every=4,
        eval_episodes=0 if anchors else 1,
        batch_size=16,
        wandb="off",
        runs_dir=str(tmp_path / "runs"),
        cache_dir=str(tmp_path / "cache"),
    )
    assert policy(np.zeros(4)).shape == (1,)


@pytest.mark.parametrize("scale", [None, (1.0, 9.0)])
def test_minari_has_the_same_rows(scale, whole, monkeypatch, tmp_path):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    if scale:  # the last policy of these sets is not clearly better than random actions
        monkeypatch.setattr(References, "scale", scale)
    settings = replace(SETTINGS, folder=str(whole), sets=("medium",), format=("hdf5", "minari"))
    run(settings)
    run(settings)  # which writes nothing
    made = minari.load_dataset("cocoa/InvertedPendulum-v4-medium-seed3-v0")
    columns, attributes = read(whole, "medium")
    episodes = list(made.iterate_episodes())
    for key, name in (("actions", "actions"), ("rewards", "rewards"), ("terminals", "terminations")):
        np.testing.assert_array_equal(np.concatenate([getattr(e, name) for e in episodes]), columns[key])
    np.testing.assert_array_equal(episodes[0].observations[:-1], columns["observations"][: len(episodes[0])])
    assert "reference_returns" not in attributes
    metadata = made.storage.metadata
    found = tuple(metadata[name] for name in ("ref_min_score", "ref_max_score") if name in metadata)
    assert found == (scale or ())


def test_a_name_that_minari_has_is_refused_before_the_training(whole, monkeypatch, tmp_path):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    settings = replace(SETTINGS, sets=("random",), format=("minari",))
    run(replace(settings, folder=str(whole)))
    monkeypatch.setattr(Stepper, "advance", None)
    with pytest.raises(cocoa.RunError, match="minari delete cocoa/InvertedPendulum-v4-random-seed3-v0"):
        run(replace(settings, folder=str(tmp_path / "sets")))


def test_the_defaults_are_those_of_online_sac():
    algorithm = collection({"env": "Hopper-v4", "algo.discount": 0.98}).algo
    assert algorithm == SAC(actor_learning_rate=3e-4, cosine_schedule=False, discount=0.98)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Name the environment"),
        ({"env": "Hopper-v4", "step": 5}, "Unknown field step. Did you mean steps"),
        ({"env": "Hopper-v4", "steps": 1010}, "steps=1010 must be a multiple of every=50"),
        ({"env": "Hopper-v4", "steps": 1000}, "steps=1000 must be more than warmup=1000"),
        ({"env": "Hopper-v4", "envs": 3}, "every=50 must be a multiple of envs=3"),
        ({"env": "Hopper-v4", "sets": "medum"}, "Did you mean sets=medium"),
        ({"env": "Hopper-v4", "seeds": (1, 1)}, "must be different numbers"),
        ({"env": "CartPole-v1"}, "continuous numbers"),
    ],
)
def test_mistakes_are_one_clear_sentence(fields, message, tmp_path):
    with pytest.raises(cocoa.UserError, match=message):
        collect(**{"env": "", "folder": str(tmp_path / "sets"), **fields})


def test_the_command_is_what_differs_from_the_defaults():
    assert command(SETTINGS) == (
        "cocoa collect env=InvertedPendulum-v4 transitions=300 'seeds=[3,7]' steps=240 envs=2 warmup=80 "
        "every=20 batch_size=16 eval_every=80 eval_episodes=2 'algo.hidden=[8]'"
    )
