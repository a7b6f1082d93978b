"""Tables and figures over runs, from folders that the real writers made."""

import dataclasses
import errno
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from matplotlib.figure import Figure
from support.paths import ROOT

from cocoa.algos.iql import IQL
from cocoa.anchors import ANCHORS, Seek, SeekerConfig
from cocoa.anchors.diagnostics import Diagnostics
from cocoa.config.schema import Config, to_dict
from cocoa.data import Dataset
from cocoa.dynamics.config import ENSEMBLES, EnsembleConfig
from cocoa.errors import RunError
from cocoa.report.__main__ import main
from cocoa.report.groups import Group, dataset_labels
from cocoa.report.runs import Run
from cocoa.runs.folder import create_run, read_config, write_config
from cocoa.runs.metrics import MetricsFile, read_metrics
from cocoa.runs.plots import anchor_plot, draw_curve, finish_curve, learning_curve, save
from cocoa.runs.summary import read_summary, summarize, write_summary
from cocoa.runs.yaml import read_values, to_yaml
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import estimate

SHA = 64 * "0"
SCORES = {
    False: np.array([[10.0, 30.0], [20.0, 50.0], [15.0, 40.0], [5.0, 90.0]]),
    True: np.array([[20.0, 60.0]]),
}


@pytest.fixture
def runs(tmp_path):
    """A plain run of four seeds, one with COCOA of one seed, two evaluations each; and an unfinished one."""
    data = np.zeros((3, 11), np.float32)
    dataset = Dataset.from_arrays(
        observations=data, actions=data[:, :3], rewards=data[:, 0] + 100, terminals=[0, 0, 1], env="Hopper-v4"
    )
    for wrapped, scores in SCORES.items():
        config = Config(
            algo=IQL(),
            cocoa=Seek() if wrapped else None,
            env="Hopper-v4",
            seeds=tuple(range(len(scores))),
            updates=100,
            runs_dir=str(tmp_path / "runs"),
        )
        folder = create_run(config, SHA)
        write_config(folder, config)
        metrics = MetricsFile(folder / "metrics.csv")
        for step, values in zip((50, 100), scores.T, strict=True):
            metrics.write(step, {"evaluation/score": values, "evaluation/return": 30 * values}, config.seeds)
        metrics.close()
        record = read_metrics(folder / "metrics.csv")
        summary = summarize(
            config, dataset, record, "finished", seconds={}, updates_per_second=100.0, extra={}
        )
        write_summary(folder, summary)
    unfinished = dataclasses.replace(config, name="unfinished")
    write_config(create_run(unfinished, SHA), unfinished)
    return tmp_path / "runs"


def test_table_pools_seeds_and_gives_intervals(runs, tmp_path, capsys):
    assert main([str(runs), "--out", str(tmp_path / "figures")]) == 0
    printed = capsys.readouterr()
    table, _, _ = printed.out.partition("\n\n")
    rows = [line for line in table.splitlines() if line.startswith("| hopper-demo")]
    assert len(rows) == 2
    plain = next(row for row in rows if "| iql |" in row)
    last = SCORES[False][:, -1]
    _, low, high = estimate(iqm, [last])
    assert (
        f"| 4 | {scipy.stats.trim_mean(last, 0.25):.1f} [{low:.1f}, {high:.1f}] | {last.mean():.1f} |"
        in plain
    )
    assert "| iql+cocoa | 100 | 1 | 60.0 | 60.0 | 40.0 |" in rows[1 - rows.index(plain)]
    assert "unfinished" in printed.err
    assert (tmp_path / "figures" / "hopper-demo.png").stat().st_size > 10_000


def test_data_without_a_score_has_none_in_the_table(runs, tmp_path, capsys):
    """As OGBench's, whose scores are rates of success."""
    for folder in runs.glob("*/*/*"):
        if folder.name != "unfinished":
            write_summary(folder, read_summary(folder) | {"behaviour_score": None})
    found = rows(capsys, runs, "--out", tmp_path)
    assert [row[-1] for row in found] == ["-", "-"]


def test_of_repeated_seeds_the_later_run_counts(runs, tmp_path, capsys):
    folder = next(path for path in runs.glob("*/iql+cocoa/*") if path.name != "unfinished")
    (folder / "log.txt").write_text("2026-01-02 00:00:00 Run folder\n")
    earlier = shutil.copytree(folder, folder.with_name("z"))
    (earlier / "log.txt").write_text("2026-01-01 23:59:59 Run folder\n")
    write_summary(earlier, read_summary(folder) | {"git_commit": "another"})
    main([str(runs), "--out", str(tmp_path)])
    told = capsys.readouterr().err
    assert f"Left out: {earlier}: 1 of its seeds are in a later run" in told
    assert "Note:" not in told


def test_scores_on_different_references_are_told(runs, tmp_path, capsys):
    main([str(runs), "--out", str(tmp_path)])
    assert "not on one scale" not in capsys.readouterr().err
    folder = next(path for path in runs.glob("*/iql+cocoa/*") if path.name != "unfinished")
    write_summary(folder, read_summary(folder) | {"references": "the dataset's references"})
    main([str(runs), "--out", str(tmp_path)])
    told = capsys.readouterr().err
    assert "D4RL's references (hopper-demo)" in told
    assert "the dataset's references (hopper-demo)" in told


@pytest.mark.parametrize(
    ("commits", "told"),
    [
        (("a", "a"), ""),
        (("a", "b"), "commits a, b"),
        ((None, "b"), "commits b, unknown"),
        (("a-dirty", "a-dirty"), "commits a-dirty"),
    ],
)
def test_pooled_runs_of_different_code_are_told(commits, told, runs, tmp_path, capsys):
    folder = next(path for path in runs.glob("*/iql+cocoa/*") if path.name != "unfinished")
    other = shutil.copytree(folder, folder.with_name("other"))
    write_config(other, dataclasses.replace(read_config(other), seeds=(5,)))
    metrics = (other / "metrics.csv").read_text()
    (other / "metrics.csv").write_text(re.sub(r"^(\d+),0", r"\1,5", metrics, flags=re.MULTILINE))
    for run, commit in zip((folder, other), commits, strict=True):
        write_summary(run, read_summary(run) | {"git_commit": commit})
    main([str(runs), "--out", str(tmp_path)])
    printed = capsys.readouterr()
    assert "| iql+cocoa | 100 | 2 |" in printed.out
    assert ("Note: seeds of hopper-demo/iql+cocoa that are pooled" in printed.err) == bool(told)
    assert told in printed.err


def test_fields_without_effect_do_not_keep_seeds_apart(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    other = shutil.copytree(folder, folder.with_name("other"))
    config = read_config(other)

    def labels(**changes):
        write_config(other, dataclasses.replace(config, seeds=(4, 5, 6, 7), **changes))
        record = (folder / "metrics.csv").read_text()
        moved = re.sub(r"^(\d+),(\d)", lambda m: f"{m[1]},{int(m[2]) + 4}", record, flags=re.MULTILINE)
        (other / "metrics.csv").write_text(moved)
        main([str(runs), "--out", str(tmp_path)])
        return re.findall(r"\| (iql .*?|iql) \| 100 \| (\d)", capsys.readouterr().out)

    assert labels(dynamics=ENSEMBLES["published"]) == [("iql", "8")]
    assert labels(eval_every=70) == [("iql", "8")]
    assert labels(study="second", stream=False) == [("iql", "8")]
    assert sorted(labels(eval_episodes=1)) == [("iql eval_episodes=1", "4"), ("iql eval_episodes=10", "4")]
    assert sorted(labels(algo=IQL(hidden=(32, 64)))) == [
        ("iql algo.hidden=[256,256]", "4"),
        ("iql algo.hidden=[32,64]", "4"),
    ]


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("seek", {"horizon": 3, "rollout_scale": 0.1, "seeker": SeekerConfig(patience=2)}),
        ("nearest", {"horizon": 3, "candidates": 8}),
        ("self-noise", {"noise": 0.5}),
        ("zero", {"embedding": 3}),
    ],
)
def test_settings_are_the_fields_that_have_an_effect(variant, changes, tmp_path):
    def settings(hidden=(256, 256), patience=5, **changes):
        dynamics = EnsembleConfig(patience=patience)
        config = Config(algo=IQL(hidden=hidden), cocoa=ANCHORS[variant](**changes), dynamics=dynamics)
        return Run(tmp_path, to_dict(config), {}, {}).settings

    assert settings(hidden=(7,)) == settings()
    assert (settings(patience=2) == settings()) == (variant != "seek")
    for field, value in changes.items():
        assert settings(**{field: value}) != settings()


def test_what_is_inside_of_a_run_is_no_run(runs, tmp_path, capsys):
    inside = next(runs.glob("*/iql/*")) / "wandb" / "run-1" / "files"
    inside.mkdir(parents=True)
    (inside / "config.yaml").write_text("wandb_version: 1\n")
    main([str(runs), "--out", str(tmp_path)])
    assert capsys.readouterr().err.count("Left out") == 1


def test_a_summary_without_a_status_is_of_no_finished_run(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    (folder / "summary.json").write_text("{}")
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert f"Left out: {folder}: not finished" in printed.err
    assert "| iql |" not in printed.out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"behaviour_score": ...}, "its summary.json lacks behaviour_score"),
        ({"return": None, "score": None}, "never evaluated"),
        ({"behaviour_score": "11"}, "its summary.json has a behaviour_score that is no number"),
        ({"score": {"per_seed": [1, 2, 3]}}, "its summary.json has not as many numbers in score.per_seed"),
        ({"score": {"per_seed": [1, 2, 3, "4"]}}, "its summary.json has no numbers in score.per_seed"),
        ({"score": {"per_seed": [1, 2, 3, 10**400]}}, "its summary.json has no numbers in score.per_seed"),
        ({"score": {"per_seed": {}}}, "its summary.json has no numbers in score.per_seed"),
        ({"score": 5.0}, "its summary.json has no numbers in score.per_seed"),
        ({"score": None, "return": [1]}, "its summary.json has no numbers in return.per_seed"),
        ({"dataset_sha256": None}, "its summary.json has a dataset_sha256 that is no text"),
        ({"cocoa": ["seek"]}, "its summary.json has a value of cocoa that is no text"),
    ],
)
def test_what_a_summary_lacks_is_told(change, why, runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    summary = {key: value for key, value in (read_summary(folder) | change).items() if value is not ...}
    write_summary(folder, summary)
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    assert f"Left out: {folder}: {why}" in capsys.readouterr().err


def test_plain_runs_are_compared_with_those_with_cocoa(runs, tmp_path, capsys):
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (
        "## iql+cocoa against iql\n\nNo conclusion on iql+cocoa against iql: an interval needs two" in printed
    )
    assert "| hopper-demo | 45.0 [30.0, 90.0] | 60.0 | +15.0 | - |" in printed
    assert "| all:" not in printed
    assert "The price of tuning" not in printed


def test_any_two_methods_are_compared_on_request(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    copied(folder, "other", {"algo": {"name": "mine", "rate": 1}}, {"algo": "mine"})
    command = [str(runs), "--out", str(tmp_path), "--effect", "5", "--compare"]
    assert main([*command, "iql", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "## mine against iql" in printed
    assert "| hopper-demo | 45.0 [30.0, 90.0] | 45.0 [30.0, 90.0] | +0.0 [+0.0, +0.0] | 4 |" in printed
    assert "If the true difference is 5, about 2 seeds per dataset would do" in printed
    assert main([*command, "iql", "yours"]) == 2
    assert "No dataset has finished runs of 'iql' and 'yours'. There are: " in capsys.readouterr().err


def test_the_price_of_tuning_is_shown_on_request_and_where_hyperparameters_vary(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    episodes = "".join(f"100,{seed},{i},{100.0 * seed + i},9,nan\n" for seed in range(4) for i in range(5))
    (folder / "episodes.csv").write_text("step,seed,episode,return,length,success\n" + episodes)
    assert main([str(runs), "--out", str(tmp_path), "--tuning"]) == 0
    printed = capsys.readouterr().out
    assert "## The price of tuning" in printed
    assert "| hopper-demo | iql | 4 | 4 | " in printed
    assert "Left out: hopper-demo: iql+cocoa: " in printed
    assert (tmp_path / "hopper-demo-tuning.png").read_bytes().startswith(b"\x89PNG")
    write_config(copied(folder, "tuned"), dataclasses.replace(read_config(folder), algo=IQL(expectile=0.9)))
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    assert "| hopper-demo | iql | 8 | 8 | " in capsys.readouterr().out


def held_out(*losses):
    return {"critic_loss": {"per_seed": losses}, "q": {"per_seed": losses}}


@pytest.mark.parametrize("evaluated", [True, False], ids=["beside others", "alone"])
def test_runs_that_were_not_evaluated_have_their_held_out_losses(evaluated, runs, tmp_path, capsys):
    folder, wrapped = next(runs.glob("*/iql/*")), next(runs.glob("*/iql+cocoa/*-*"))
    unknown = {"return": None, "score": None, "dataset": "some/lab|data.hdf5"}
    write_summary(folder, read_summary(folder) | unknown | {"held_out": held_out(1.0, 2.0, 3.0, 2.5)})
    if not evaluated:
        write_summary(wrapped, read_summary(wrapped) | unknown | {"held_out": held_out(None)})
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert rf"| lab\|data | iql | 100 | 4 | critic_loss | 2.125 | {folder} |" in printed.out
    assert str(folder) not in printed.err
    assert ("| hopper-demo | iql+cocoa |" in printed.out) == evaluated
    assert ("| iql+cocoa | 100 | 1 | critic_loss | nan |" in printed.out) != evaluated
    assert "| q |" not in printed.out


@pytest.mark.parametrize("damage", ["text", {"critic_loss": 5}, {"critic_loss": {"per_seed": ["x"]}}, [1]])
def test_damaged_held_out_losses_leave_a_run_out(damage, runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    changes = {"return": None, "score": None, "held_out": damage}
    write_summary(folder, read_summary(folder) | changes)
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    assert f"Left out: {folder}: never evaluated" in capsys.readouterr().err


def without_seed_2(record):
    return "".join(line for line in record.splitlines(keepends=True) if ",2," not in line)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("metrics.csv", without_seed_2, "no evaluation of seed 2"),
        ("metrics.csv", lambda record: record.replace("50,3,", "50;3,"), "is damaged in line"),
        ("config.yaml", lambda record: record.replace("updates", "updaates"), "no number of updates"),
        ("config.yaml", lambda record: record.replace("name: iql", "name: [iql]"), "names no algorithm"),
        ("config.yaml", lambda record: record.replace("cocoa: null", "cocoa: [x]"), "names no variant"),
        ("config.yaml", lambda record: record.replace("- 3", "- 2"), "no different seeds"),
        ("config.yaml", lambda record: record.replace("- 3", "- three"), "no list of seeds"),
        ("config.yaml", lambda record: record + "7: 1\n", "a field whose name is no text"),
        ("config.yaml", lambda record: "- a list", "config.yaml cannot be read"),
        ("metrics.csv", lambda record: record.replace("50,", f"{10**30},"), "is damaged"),
    ],
)
def test_a_damaged_run_is_left_out_and_told(name, change, why, runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    (folder / name).write_text(change((folder / name).read_text()))
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert any(line.startswith(f"Left out: {folder}: ") and why in line for line in printed.err.splitlines())
    assert "| iql+cocoa |" in printed.out
    assert "| iql |" not in printed.out


def copied(folder, name, values=None, summary=None):
    """A copy of a run beside it, with other values in its configuration and summary."""
    copy = shutil.copytree(folder, folder.with_name(name))
    (copy / "config.yaml").write_text(to_yaml(read_values(copy) | (values or {})))
    write_summary(copy, read_summary(copy) | (summary or {}))
    return copy


def rows(capsys, *arguments):
    """The cells of the table's rows, the columns in order, after a report that succeeds."""
    assert main(list(map(str, arguments))) == 0
    table, _, _ = capsys.readouterr().out.partition("\n\n")
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[1:]]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_seeds_that_diverged_are_told_and_not_left_out_of_the_mean(all_of_them, runs, tmp_path, capsys):
    for path in runs.glob("*/*/*/summary.json"):
        folder = path.parent
        if all_of_them or folder.parent.name == "iql":
            record = (folder / "metrics.csv").read_text()
            (folder / "metrics.csv").write_text(re.sub(r"(100,0,.*),.*", r"\1,nan", record))
            summary = read_summary(folder)
            for block in [summary[name] for name in ("score", "return", "score_last10", "return_last10")]:
                block |= {"mean": None, "ci95": None, "per_seed": [None, *block["per_seed"][1:]]}
            write_summary(folder, summary)
            learning_curve(folder, behaviour=11.0)
    plain, wrapped = rows(capsys, runs, "--out", tmp_path)
    # Of minus infinity, 40, 50 and 90 the middle two; resamples may have the diverged seed twice.
    assert plain[1:] == [
        "iql",
        "100",
        "4 (1 diverged)",
        "45.0 [-inf, 90.0]",
        "nan",
        "31.2 [-inf, 47.5]",
        plain[-1],
    ]
    assert wrapped[3:7] == (
        ["1 (1 diverged)", "-inf", "nan", "-inf"] if all_of_them else ["1", "60.0", "60.0", "40.0"]
    )
    assert (tmp_path / "hopper-demo.png").stat().st_size > 10_000


def test_a_figure_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    figure, path = Figure(), tmp_path / "figure.png"
    save(figure, path)
    whole = path.read_bytes()
    monkeypatch.setattr("os.replace", fail)
    figure.add_subplot()
    with pytest.raises(RunError, match="the disk is full"):
        save(figure, path)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extreme", ["1e308", "-inf", "inf"])
def test_extreme_values_are_drawn(extreme, runs, tmp_path, capsys):
    for folder in runs.glob("*/iql/*"):
        record = (folder / "metrics.csv").read_text()
        (folder / "metrics.csv").write_text(re.sub(r"(100,[01],.*),.*", rf"\1,{extreme}", record))
        learning_curve(folder)
    assert len(rows(capsys, runs, "--out", tmp_path)) == 2


def test_a_curve_that_ends_in_nan_is_drawn_over_all_updates():
    axes = Figure().add_subplot()
    draw_curve(axes, np.array([50, 100]), np.array([[1.0, np.nan], [2.0, 3.0]]), "method", "red")
    finish_curve(axes, "score")
    assert axes.get_xlim()[1] >= 100
    assert axes.lines[0].get_label() == "method (1 of 2 seeds diverged)"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.5, np.nan])


def test_updates_are_in_the_label_where_they_tell(runs, tmp_path, capsys):
    copied(next(runs.glob("*/iql/*")), "longer", {"updates": 200})
    assert [row[1] for row in rows(capsys, runs, "--out", tmp_path)] == [
        *("iql updates=100", "iql updates=200", "iql+cocoa")
    ]


def test_of_evaluations_at_different_updates_the_last_ten_in_common_are_averaged(tmp_path):
    def run(seed, every, slope):
        curve = {step: slope * step for step in range(every, 121, every)}
        return Run(tmp_path, {"seeds": [seed]}, {}, {seed: curve})

    group = Group("data", "method", [run(0, 4, 1.0), run(1, 6, 2.0)])
    np.testing.assert_array_equal(group.curve()[0], np.arange(12, 121, 12))
    np.testing.assert_allclose(group.last_ten, [66, 132])


def test_datasets_of_one_file_name_are_told_apart(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    score = {"behaviour_score": 77.0, "dataset_sha256": "b" * 64}
    for name, path, summary in (
        ("reach", "/data/reach/main_data.hdf5", {"dataset_sha256": "a" * 64}),
        ("push", "/data/push/main_data.hdf5", score),
        ("pushed", "/elsewhere/copy.hdf5", score),
    ):
        copied(folder, name, {"dataset": path, "seeds": [0, 1, 2, 3]}, summary)
    found = rows(capsys, runs, "--out", tmp_path)
    assert [(row[0], row[-1]) for row in found if row[0] != "hopper-demo"] == [
        *(("push/main_data", "77.0"), ("reach/main_data", found[0][-1]))
    ]
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("hopper-demo.png", "push_main_data.png", "reach_main_data.png")
    }


def test_labels_of_datasets_are_different_whatever_they_share(tmp_path):
    def run(dataset, sha256, env="E-v0"):
        summary = {"dataset_sha256": sha256, "score": None}
        return Run(tmp_path, {"dataset": dataset, "env": env}, summary, {})

    one, two = "1" * 64, "2" * 64
    for runs_, expected in (
        ([run("arrays", one), run("arrays", two)], {f"arrays {'1' * 12}", f"arrays {'2' * 12}"}),
        ([run("/a/x.hdf5", one), run("/a/x.hdf5", two)], {f"x {'1' * 12}", f"x {'2' * 12}"}),
        ([run("/a/x.hdf5", one), run("/b/y.hdf5", one)], {"x"}),
        ([run("x", one), run("x", one, "F-v0")], {"x E-v0", "x F-v0"}),
        (
            [run("/a/x.h5", one), run("/b/x.h5", two), run("/b/x.h5", two, "F-v0")],
            {"a/x E-v0", "b/x E-v0", "b/x F-v0"},
        ),
    ):
        assert set(dataset_labels(runs_).values()) == expected


def test_nothing_that_a_run_names_is_imported_and_its_figure_stays_here(runs, tmp_path, capsys):
    folder = next(runs.glob("*/iql/*"))
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')\n")
    algo = {"name": "hostile_module:Algorithm", "learning_rate": 1.0}
    copied(folder, "hostile", {"algo": algo, "dataset": "x/..$\\frac{|\x1b[2J"}, {"dataset_sha256": "c"})
    copied(folder, "unknown", {"algo": algo | {"name": "unheard"}}, {"algo": "unheard"})
    command = [sys.executable, "-m", "cocoa.report", str(runs), "--out", str(tmp_path / "out")]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    table, _, rest = done.stdout.partition("\n\n")
    assert len(re.findall(r"^\| .*\| (iql|iql\+cocoa|unheard) \|", table, re.MULTILINE)) == 4
    assert "## iql+cocoa against iql" in rest
    assert "\x1b" not in done.stdout
    assert sorted(path.suffix for path in tmp_path.glob("**/*.png")) == [".png"] * 2
    assert {path.parent for path in tmp_path.glob("**/*.png")} == {tmp_path / "out"}


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m cocoa.report --help | head -1"
    root = ROOT
    done = subprocess.run(command, shell=True, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage")
    assert done.stderr == ""


def test_nothing_to_report_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_figures_of_a_run_are_drawn(runs, tmp_path):
    folder = next(runs.glob("*/iql/*"))
    assert learning_curve(folder, behaviour=11.4).read_bytes().startswith(b"\x89PNG")
    rng = np.random.default_rng(0)
    measures = {name: rng.random(50) for name in ("nn_state", "nn_anchor", "delta", "nn_delta")}
    anchor_plot(Diagnostics({"data": measures, "perturbed-0.3": measures}), tmp_path / "anchors.png")
    assert (tmp_path / "anchors.png").read_bytes().startswith(b"\x89PNG")
