"""Loggers: a user's own gets all that a run logs, once, though it is resumed; a failing one stops nothing."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from support.loggers import Failing, Keeping

import cocoa
from cocoa import extras
from cocoa.config.schema import Config, from_dict, to_dict
from cocoa.errors import ConfigError, DataError, RunError
from cocoa.runs import launch
from cocoa.runs.episodes import read_episodes
from cocoa.runs.loggers.base import LoggedRun
from cocoa.runs.loggers.opened import with_loggers
from cocoa.runs.loggers.settings import settings_of
from cocoa.runs.metrics import logged_behind, read_metrics
from cocoa.runs.summary import read_summary

OWN = ("support.loggers:Keeping", "support.loggers:Failing")
ALL = ("csv", "tensorboard", *OWN)


@pytest.fixture(scope="module")
def cut(config):
    """The folder of a run that died between a checkpoint and an evaluation, and was resumed."""
    Keeping.dies_after = 50
    with pytest.raises(SystemExit):
        launch.run(dataclasses.replace(config, name="own-loggers", logger=ALL))
    (folder,) = (call[2] for call in Keeping.calls if call[0] == "open")
    Keeping.calls.append(("resumed",))
    return cocoa.resume(folder).folder


def test_a_logger_of_ones_own_gets_every_number_once(cut, config):
    calls = Keeping.calls
    at = calls.index(("resumed",))
    assert calls[at - 1] == ("close", "failed")
    assert calls[at + 1][:2] == ("open", 40)
    assert calls[-1] == ("close", "finished")
    logged = [call for call in calls if call[0] in ("log", "epoch", "measured")]
    assert max(Counter(call[:3] for call in logged).values()) == 1
    beside = {"training/updates_per_second", "evaluation/behaviour_score"}
    numbers = {(step, name.removeprefix("fit/")): x for _, step, name, x in logged if name not in beside}
    rows = read_metrics(cut / "metrics.csv").series
    assert numbers.keys() == {(step, name) for (name, _), values in rows.items() for step, _ in values}
    for (step, name), value in numbers.items():
        seeds = [None] if np.ndim(value) == 0 else config.seeds
        written = [dict(rows[name, seed])[step] for seed in seeds]  # float32, as the shortest decimals
        np.testing.assert_allclose(np.atleast_1d(value), written, rtol=1e-7)


def test_it_gets_episodes_and_pictures(cut):
    episodes = read_episodes(cut / "episodes.csv")
    played = {call[1]: call[3] for call in Keeping.calls if call[0] == "episodes"}
    assert played.keys() == episodes.keys()
    np.testing.assert_array_equal(played[60][1], episodes[60][7][:, 0])
    assert {call[2] for call in Keeping.calls if call[0] == "image"} >= {"anchors", "learning_curve"}


def test_a_run_that_is_stopped_after_its_last_update_is_finished(config):
    stopped = dataclasses.replace(config, name="stopped-late", logger=("csv", "support.loggers:Stopping"))
    folder = launch.run(stopped)
    assert read_summary(folder)["status"] == "finished"


def test_a_failing_logger_is_left_out_and_stops_nothing(cut):
    assert Failing.abandoned == 2  # before and after the resumption
    log = (cut / "log.txt").read_text()
    assert log.count("The logger Failing failed and is left out from here on: the server is gone") == 2


def test_tensorboard_has_every_number_of_its_seed_once(cut):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = read_metrics(cut / "metrics.csv").series
    for seed in (3, 7):
        events = EventAccumulator(str(cut / "tensorboard" / f"seed_{seed}"), {"images": 0, "tensors": 0})
        events.Reload()
        tags = events.Tags()
        assert {"figures/anchors", "figures/learning_curve"} <= set(tags["images"])
        (text,) = events.Tensors("diagnostics")
        assert "anchors/data" in text.tensor_proto.string_val[0].decode()
        beside = {"training/updates_per_second"}
        for tag in set(tags["scalars"]) - beside:
            name = tag.removeprefix("fit/")
            written = rows.get((name, seed)) or rows[name, None]
            read = [(event.step, event.value) for event in events.Scalars(tag)]
            np.testing.assert_allclose(read, written, rtol=1e-6)
        own = {name for name, of in rows if of in (seed, None)}
        own = {name for name in own if not name.startswith(("dynamics/", "anchors/"))}
        assert {tag.removeprefix("fit/") for tag in tags["scalars"]} == own | beside


def test_what_the_loggers_have_is_told_by_the_rows_behind_a_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    head = "step,seed,metric,value\n10,3,training/loss,1.0\n"
    path.write_text(f"{head}20,3,training/loss,1.0\n20,7,training/loss,2.0\n20,3,evaluation/ret")
    assert logged_behind(path, len(head)) == {(20, "training/loss")}
    assert logged_behind(path, 0) == {(10, "training/loss"), (20, "training/loss")}
    path.write_text("damaged\n")
    assert logged_behind(path, 0) == logged_behind(tmp_path / "missing", 0) == frozenset()


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("tensorbord", ConfigError, "Did you mean logger=tensorboard?"),
        ("support.loggers", ConfigError, "name the class in it"),
        ("support.loggers:Keepin", RunError, "Did you mean support.loggers:Keeping?"),
        ("os:system", RunError, "os:system is not a logger: it is not a subclass of cocoa.Logger"),
    ],
)
def test_a_wrong_logger_is_told_before_anything_is_trained(config, tmp_path, name, error, says):
    with pytest.raises(error) as raised:
        launch.run(dataclasses.replace(config, logger=(name,), runs_dir=str(tmp_path)))
    assert says in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_before_anything_is_trained(config, monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "tensorboard", ("not_installed",))
    with pytest.raises(DataError, match=r"logger=\[tensorboard\] needs the extra .*cocoa-rl\[tensorboard\]"):
        with_loggers(dataclasses.replace(config, logger=("tensorboard",)))


def test_loggers_are_stored_so_that_another_process_finds_them(config):
    named = with_loggers(dataclasses.replace(config, logger=("csv", "csv", "wandb", *OWN)))
    assert named.logger == ("csv", "wandb", *OWN)
    assert from_dict(to_dict(named)) == named


def test_settings_for_a_dashboard_are_what_bears_on_the_result(tmp_path):
    provenance = {"dataset_sha256": "ab", "git_commit": None, "hardware": {}}
    config = Config(cocoa.IQL(), dataset="/data/my.hdf5", study="first", cache_dir="/tmp", video=True)
    plain = settings_of(LoggedRun(config, tmp_path, print, 0, provenance))
    assert (plain["dataset"], plain["method"], plain["study"]) == ("my", "iql", "first")
    assert plain["dataset_sha256"] == "ab"
    assert plain["algo"]["hidden"]
    unwanted = {"cache_dir", "runs_dir", "video", "logger", "wandb", "name", "seeds", "git_commit"}
    assert not unwanted & plain.keys()
    assert "dynamics" not in plain  # nothing needs models
    composed = settings_of(LoggedRun(dataclasses.replace(config, cocoa=cocoa.Seek()), tmp_path, print))
    assert composed["method"] == "iql+cocoa"
    assert composed["dynamics"]["members"] == 7
    assert "hidden" not in composed["algo"]  # cocoa.hidden takes its place
