"""Weights & Biases: real offline runs read back, and every way in which it could stand in the way."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

import numpy as np
import pytest
from support.paths import ROOT
from support.wandb_server import accepting_server

import cocoa
from cocoa.algos.iql import IQL
from cocoa.anchors import Seek
from cocoa.config.schema import Config
from cocoa.runs import launch
from cocoa.runs.folder import write_config
from cocoa.runs.loggers.base import LoggedRun
from cocoa.runs.loggers.opened import Loggers
from cocoa.runs.loggers.wandb import POLICY_FILES
from cocoa.runs.loggers.wandb_environment import choose_mode, has_key, settings
from cocoa.runs.metrics import read_metrics

CONFIG = Config(algo=IQL(), cocoa=Seek(), seeds=(3, 7), logger=("wandb",), name="logged")


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))  # with settings of its own


def log(folder, say, **fields):
    """The loggers of a run in `folder`, which has a configuration as every run has."""
    config = dataclasses.replace(CONFIG, **fields)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config)
    return Loggers(LoggedRun(config, folder, say))


def records(folder):
    """The records of each offline run below `folder`, by seed."""
    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = [json.loads(line) for line in printed.splitlines()]
        run = next(row["run"] for row in rows if row["type"] == "run")
        found[run["config"]["update"]["seed"]] = run, printed
    return found


def summary_of(rows):
    """What the summary of a W&B run says at its end."""
    updates = [row["summary"]["update"] for row in rows if row["type"] == "summary"]
    return {name: value for update in updates for name, value in update.items()}


def test_without_a_key_there_is_one_offline_run_per_seed_in_a_group(tmp_path):
    said = []
    folder = tmp_path / "hopper-demo" / "iql+cocoa" / "logged"
    logger = log(folder, said.append)
    logger.log(10, {"training/loss": np.array([1.25, 2.5]), "shared": 7.0, "unknown": None})
    scores = {"per_seed": [-31.8125, -42.4375]}  # not among W&B's measurements of the machine
    gains = {name: {"per_seed": [-0.78125, -0.53125]} for name in ("after", "mean", "regret")}
    online = {"unit": "score", "before": None, **gains}
    logger.close({"status": "finished", "score": scores, "behaviour_score": 11.0, "online": online})
    assert "wandb sync" in said[0]
    found = records(folder)
    assert set(found) == {3, 7}
    runs = [run for run, _ in found.values()]
    assert {run["project"] for run in runs} == {"cocoa"}
    assert {run["run_group"] for run in runs} == {"hopper-demo/iql+cocoa"}
    assert runs[0]["run_id"] != runs[1]["run_id"]
    config = runs[0]["config"]["update"]
    assert config["algo"]["name"] == "iql"
    assert config["cocoa"]["horizon"] == 1
    assert config["method"] == "iql+cocoa"
    for seed, loss, score, other in ((3, "1.25", "-31.8125", "-42.4375"), (7, "2.5", "-42.4375", "-31.8125")):
        printed = found[seed][1]
        assert loss in printed
        assert score in printed
        assert other not in printed
        gained = summary_of(map(json.loads, printed.splitlines()))["online/regret"]
        assert gained == {3: -0.78125, 7: -0.53125}[seed]


def test_a_run_that_goes_on_keeps_its_id_and_another_in_its_folder_gets_its_own(tmp_path):
    def identities(**fields):
        log(tmp_path, print, **fields).close({"status": "finished"})
        return {path.stem for path in tmp_path.glob("wandb/offline-run-*/*.wandb")}

    first = identities()
    assert len(first) == 2
    assert identities() == first
    assert len(identities(batch_size=5)) == 4


def test_off_does_not_import_wandb(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom cocoa.algos.iql import IQL\n"
        "from cocoa.config.schema import Config\n"
        "from cocoa.runs.loggers.base import LoggedRun\nfrom cocoa.runs.loggers.opened import Loggers\n"
        "logger = Loggers(LoggedRun(Config(IQL(), wandb='off'), Path(sys.argv[1]), print))\n"
        "logger.log(1, {'a': 1.0})\nlogger.image('curve', Path('curve.png'))\n"
        "logger.close({'status': 'finished'})\n"
        "assert 'wandb' not in sys.modules"
    )
    root = ROOT
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=True)
    assert not list(tmp_path.iterdir())


def test_the_mode_follows_key_and_network(monkeypatch, tmp_path):
    said = []
    assert choose_mode("auto", said.append) == "offline"
    assert choose_mode("offline", said.append) == "offline"
    assert said == []
    assert choose_mode("online", said.append) == "offline"
    assert "no key" in said[0]
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n login user\n password secret\n")
    assert has_key("https://api.wandb.ai")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    start = time.monotonic()
    assert choose_mode("auto", said.append) == "offline"
    assert time.monotonic() - start < 10
    assert "cannot be reached" in said[1]


def test_a_failure_is_told_once_and_never_raised(tmp_path):
    said = []
    (tmp_path / "wandb").write_text("a file where wandb wants its folder")
    logger = log(tmp_path, said.append, wandb="offline")
    logger.log(1, {"wrong": np.ones((5, 5))})
    logger.log(2, {"a": 1.0})
    logger.image("nothing", tmp_path / "missing.png")
    logger.close({"status": "failed"})
    assert len([text for text in said if "The logger wandb failed" in text]) == 1


@pytest.mark.parametrize("host", ["api.wandb.ai", "own"])
def test_a_key_from_wandb_login_is_found(tmp_path, host):
    base = settings().base_url
    machine = urlparse(base).netloc if host == "own" else host
    (tmp_path / "netrc").write_text(f"machine {machine}\n login user\n password {'0' * 40}\n")
    assert has_key(base)
    assert not has_key("https://elsewhere.example")


def test_a_broken_installation_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # what makes `import wandb` fail
    said = []
    logger = log(tmp_path, said.append)
    logger.log(1, {"a": 1.0})
    logger.image("curve", tmp_path / "curve.png")
    logger.close({"status": "finished"})
    assert len(said) == 1


@contextlib.contextmanager
def silent_server():
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def refusing_server():
    """The URL of a server that knows no key."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


UNREACHABLE = contextlib.nullcontext("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("server", "reason"),
    [(UNREACHABLE, "cannot be reached"), (silent_server(), "cannot be reached"), (refusing_server(), "401")],
    ids=["unreachable", "silent", "refusing"],
)
def test_online_falls_back_to_offline_runs(tmp_path, monkeypatch, server, reason):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    said = []
    with server as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        start = time.monotonic()
        logger = log(tmp_path, said.append, wandb="online")
        assert time.monotonic() - start < 12
        logger.log(10, {"training/loss": np.array([1.25, 2.5])})
        logger.close({"status": "finished"})
    assert set(records(tmp_path)) == {3, 7}
    assert reason in said[0]
    assert "wandb sync" in said[1]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("environment", "configured", "files"),
    [
        ({"WANDB_MODE": "offline"}, "auto", True),
        ({"WANDB_MODE": "dryrun"}, "auto", True),
        ({"WANDB_MODE": "disabled"}, "auto", False),
        ({"WANDB_DISABLED": "true", "WANDB_MODE": "online"}, "auto", False),
        ({"WANDB_MODE": "online"}, "off", False),
        ({"WANDB_MODE": "online"}, "offline", True),
        ({}, "offline", True),
    ],
    ids=str,
)
def test_nothing_is_sent_unless_the_mode_is_online(tmp_path, environment, configured, files):
    script = (
        "import sys\nfrom pathlib import Path\nfrom cocoa.algos.iql import IQL\n"
        "from cocoa.config.schema import Config\n"
        "from cocoa.runs.folder import write_config\n"
        "from cocoa.runs.loggers.base import LoggedRun\nfrom cocoa.runs.loggers.opened import Loggers\n"
        "folder = Path(sys.argv[1])\nconfig = Config(IQL(), wandb=sys.argv[2])\n"
        "write_config(folder, config)\nlogger = Loggers(LoggedRun(config, folder, print))\n"
        "logger.log(1, {'a': 1.0})\nlogger.close({'status': 'finished'})\n"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    with accepting_server() as (url, requests):
        variables = os.environ | {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": url} | environment
        command = [sys.executable, "-c", script, str(folder), configured]
        root = ROOT
        done = subprocess.run(
            command, cwd=root, env=variables, capture_output=True, text=True, check=True, timeout=60
        )
    assert requests == []
    assert [path.name for path in folder.iterdir() if path.name != "config.yaml"] == ["wandb"] * files
    assert ("wandb sync" in done.stdout) == files
    overruled = configured != "auto" and "WANDB_MODE" in environment
    assert (f"wandb={configured} is used, not WANDB_MODE=online" in done.stdout) == overruled


@pytest.mark.parametrize(("mode", "expected"), [("offline", "offline"), ("disabled", "off")])
def test_the_settings_file_of_wandb_is_obeyed(tmp_path, monkeypatch, mode, expected):
    (tmp_path / "settings").write_text(f"[default]\nmode = {mode}\n")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with accepting_server() as (url, requests):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        assert choose_mode("auto", print) == expected
        assert requests == []
        assert choose_mode("online", print) == "online"
        monkeypatch.setenv("WANDB_MODE", "online")
        assert choose_mode("auto", print) == "online"


def test_an_unknown_mode_is_told_and_nothing_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "ofline\x1b[2J")
    said = []
    log(tmp_path, said.append).close({"status": "finished"})
    assert len(said) == 1
    assert "WANDB_MODE=ofline\\x1b[2J is not possible" in said[0]
    assert not (tmp_path / "wandb").exists()


def test_the_environment_places_a_run_and_an_explicit_project_wins(tmp_path, monkeypatch):
    environment = {
        **{"PROJECT": "theirs", "ENTITY": "team", "RUN_GROUP": "group", "TAGS": "first,second"},
        **{"NAME": "title", "NOTES": "a note", "JOB_TYPE": "own", "DIR": str(tmp_path / "elsewhere")},
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    folder, said = tmp_path / "run", []
    log(folder, said.append).close({"status": "finished"})
    assert not (folder / "wandb").exists()
    for seed, (run, _) in records(tmp_path / "elsewhere").items():
        assert (run["project"], run["entity"], run["run_group"]) == ("theirs", "team", "group")
        assert {"first", "second", "iql", "+cocoa", "seek", "hopper-demo"} == set(run["tags"])
        assert (run["display_name"], run["notes"], run["job_type"]) == (
            f"title seed {seed}",
            "a note",
            "own",
        )
    assert f"wandb sync {tmp_path}/elsewhere/wandb/offline-run-" in said[0]
    monkeypatch.delenv("WANDB_DIR")
    log(folder, said.append, wandb_project="mine").close({"status": "finished"})
    assert {run["project"] for run, _ in records(folder).values()} == {"mine"}
    assert "wandb_project=mine is used, not the project theirs" in said[1]


@pytest.mark.parametrize("seeds", [(3,), (3, 7)])
def test_the_run_of_a_sweep_has_the_mean_over_seeds(tmp_path, monkeypatch, seeds):
    sweep = {"SWEEP_ID": "sweep1", "RUN_ID": "trial1", "PROJECT": "swept", "ENTITY": "team"}
    for name, value in sweep.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    def opened():
        said = []
        with accepting_server() as (url, requests):
            monkeypatch.setenv("WANDB_BASE_URL", url)
            logger = log(tmp_path, said.append, seeds=seeds, wandb_project="own")
            logger.log(10, {"evaluation/score": np.arange(len(seeds)) * 4.0 + 1})
            scores = {"per_seed": [20.0, 30.0][: len(seeds)]}
            logger.close({"status": "finished", "score": scores})
        assert all("wandb_project=own is used" in text for text in said)
        created = [r["variables"] for r in requests if "UpsertBucket" in r.get("query", "")]
        placed = {v["name"]: (v["project"], v["sweep"]) for v in created if v["displayName"]}
        history = {
            r["path"].split("/")[-2]: [json.loads(x) for x in r["files"]["wandb-history.jsonl"]["content"]]
            for r in requests
            if "wandb-history.jsonl" in r.get("files", ())
        }
        return placed, {name: rows[0]["evaluation/score"] for name, rows in history.items()}

    placed, logged = opened()
    own = [name for name in placed if name != "trial1"]
    assert placed == {"trial1": ("swept", "sweep1")} | dict.fromkeys(own, ("own", None))
    if len(seeds) == 1:
        assert logged == {"trial1": 1}
    else:
        assert logged == {"trial1": 3, own[0]: 1, own[1]: 5}
    for name in sweep:  # as when the run is resumed by hand
        monkeypatch.delenv(f"WANDB_{name}")
    assert opened() == (placed, logged)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The folder of a run that logged offline and uploads its policy, and its W&B records of seed 3."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_CONFIG_DIR", str(tmp_path_factory.mktemp("settings")))
        fields = {"logger": ("wandb",), "wandb": "offline", "wandb_artifacts": True, "name": "in-wandb"}
        folder = launch.run(dataclasses.replace(config, **fields))
    return folder, [json.loads(line) for line in records(folder)[3][1].splitlines()]


def test_every_number_of_a_run_is_in_its_offline_file_under_its_key(whole):
    folder, rows = whole
    logged = {}
    for item in (row["history"]["item"] for row in rows if row["type"] == "history"):
        for key, value in item.items():
            axis = "fit/epoch" if key.startswith("fit/") else "update"
            if key.partition("/")[0] in ("evaluation", "training", "held_out", "fit") and key != axis:
                logged.setdefault(key, []).append((item[axis], value))
    beside = {"training/updates_per_second", "evaluation/behaviour_score"}
    written = {
        name: values
        for (name, seed), values in read_metrics(folder / "metrics.csv").series.items()
        if seed in (3, None) and not name.startswith(("dynamics/", "anchors/"))
    }
    assert {key.removeprefix("fit/") for key in logged} - beside == written.keys()
    for key in logged.keys() - beside:
        np.testing.assert_allclose(logged[key], written[key.removeprefix("fit/")], rtol=1e-6)
    metrics = [row["metric"] for row in rows if row["type"] == "metric"]
    axes = {metric.get("glob_name"): metric.get("step_metric") for metric in metrics}
    assert (axes["evaluation/*"], axes["training/*"], axes["fit/*"]) == ("update", "update", "fit/epoch")


def test_tables_figures_summary_and_the_policy_are_in_the_offline_file(whole, tmp_path):
    folder, rows = whole
    keys = {key for row in rows if row["type"] == "history" for key in row["history"]["item"]}
    assert not [key for key in keys if key.startswith(("dynamics/", "anchors/"))]
    assert {"figures/anchors.path", "figures/learning_curve.path"} <= keys
    tables = {}
    for path in folder.glob("wandb/offline-run-*/files/media/table/tables/*.json"):
        table = json.loads(path.read_text())
        tables.setdefault(path.name.partition("_")[0], []).append(table)
    assert len(tables["diagnostics"]) == len(tables["evaluations"]) == 2
    measures = {"/".join(row[:2]) for row in tables["diagnostics"][0]["data"]}
    series = read_metrics(folder / "metrics.csv").series
    assert measures == {name for name, _ in series if name.startswith(("dynamics/", "anchors/"))}
    columns = tables["evaluations"][0]["columns"]
    assert columns == ["update", "score", "return", "std", "length", "success", "episodes"]
    assert [row[0] for row in tables["evaluations"][0]["data"]] == [20, 40, 60]
    summary = summary_of(rows)
    assert summary["return"] == pytest.approx(series["evaluation/return", 3][-1][1])
    assert summary["evaluation/return"] == summary["return"]  # the last, not the best
    artifacts = [row["artifact"] for row in rows if row["type"] == "artifact"]
    (artifact,) = (artifact for artifact in artifacts if artifact["type"] == "model")
    assert {item["path"] for item in artifact["manifest"]["contents"]} == set(POLICY_FILES)
    for name in POLICY_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / name, tmp_path / name)
    np.testing.assert_array_equal(
        cocoa.load_policy(tmp_path, 7)(np.zeros(4)), cocoa.load_policy(folder, 7)(np.zeros(4))
    )


def test_every_number_that_a_panel_of_the_dashboard_shows_is_logged(whole):
    pytest.importorskip("wandb_workspaces")
    from cocoa.dashboard import panels

    _, rows = whole
    keys = {key for row in rows if row["type"] == "history" for key in row["history"]["item"]}
    shown = [*panels.scores(), *panels.losses(), *panels.anchors()]
    metrics = {name for panel in shown for name in getattr(panel, "y", None) or ()}
    unscored = {"evaluation/score", "evaluation/behaviour_score"}  # of an environment without references
    assert len(metrics) == 10
    assert metrics - unscored <= keys
