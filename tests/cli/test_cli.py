"""The command line: what arguments mean, which error a mistake gets, and what is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support.paths import ROOT

from cocoa.algos import REGISTRY, Algorithm, register
from cocoa.algos.bc import BC
from cocoa.algos.iql import IQL
from cocoa.anchors import ANCHORS, Seek, SeekerConfig
from cocoa.cli import main
from cocoa.config.compose import compose, expand
from cocoa.config.presets import load_presets, with_presets
from cocoa.config.schema import Config, DistributedConfig, from_dict, to_dict
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import ENSEMBLES, EnsembleConfig
from cocoa.errors import ConfigError

TRAIN = ROOT / "train.py"
PLAIN = "dataset=recordings/own.hdf5"  # a dataset for which there is no preset


def configure(*arguments: str) -> Config:
    config, _ = compose(arguments)
    return config


def mistake(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(arguments)
    return str(caught.value)


def test_without_presets_and_arguments_the_dataclasses_hold():
    config, presets = compose([PLAIN])
    assert config == Config(algo=IQL(), dataset="recordings/own.hdf5")
    assert presets == []


@pytest.mark.parametrize(
    ("argument", "variant"),
    [("+cocoa", "seek"), ("+cocoa=default", "seek"), *((f"+cocoa={name}", name) for name in ANCHORS)],
)
def test_cocoa_is_a_flag_with_variants(argument: str, variant: str):
    assert configure("algo=iql", argument, PLAIN).cocoa == ANCHORS[variant]()


def test_the_ensemble_is_chosen_by_name_and_changed_by_fields():
    assert configure(PLAIN).dynamics == ENSEMBLES["quick"] == EnsembleConfig()
    chosen = configure("dynamics.members=6", PLAIN, "dynamics=published").dynamics
    assert chosen == replace(ENSEMBLES["published"], members=6)
    for name, ensemble in ENSEMBLES.items():
        assert configure(f"dynamics={name}", "dataset=hopper-demo", "+cocoa").dynamics == ensemble
    shipped = configure("dataset=hopper-demo", "+cocoa").dynamics
    assert shipped == EnsembleConfig(max_updates=3800)
    assert "Did you mean dynamics=quick?" in mistake("dynamics=quik")


def test_many_fields_at_once():
    config = configure(
        "algo=iql",
        "+cocoa=seek",
        "cocoa.horizon=3",
        "cocoa.seeker.hidden=[64]",
        "algo.expectile=0.9",
        "algo.temperature=5",
        "algo.hidden=[32,32,32]",
        "algo.cosine_schedule=false",
        'dataset="~/recordings, new/walk=1.hdf5"',
        "env=Hopper-v5",
        "seeds=[3,7]",
        "updates=1e5",
        "data.observation_normalization=true",
        "dynamics.max_epochs=3",
        "wandb=off",
        "name=3",
        "runs_dir=/tmp/runs",
    )
    assert config == Config(
        algo=IQL(expectile=0.9, temperature=5.0, hidden=(32, 32, 32), cosine_schedule=False),
        cocoa=Seek(horizon=3, seeker=SeekerConfig(hidden=(64,))),
        dataset="~/recordings, new/walk=1.hdf5",
        env="Hopper-v5",
        seeds=(3, 7),
        updates=100_000,
        data=DataConfig(reward_normalization="return_range", observation_normalization=True),
        dynamics=EnsembleConfig(max_epochs=3),
        wandb="off",
        name="3",
        runs_dir="/tmp/runs",
    )
    assert isinstance(config.updates, int)
    assert isinstance(config.algo.temperature, float)  # type: ignore[attr-defined]


def test_seeds_as_a_number_and_home_folder():
    config = configure("seeds=4", "dataset=~/own.hdf5")
    assert config.seeds == (0, 1, 2, 3)
    assert config.dataset == str(Path.home() / "own.hdf5")


def test_command_line_over_preset_over_defaults():
    config, presets = compose(["dataset=hopper-demo", "eval_every=700", "+cocoa"])
    assert (config.updates, config.eval_every, config.batch_size) == (40_000, 700, 256)
    assert config.cocoa is not None
    assert config.cocoa.seeker.max_epochs < SeekerConfig().max_epochs
    demo, iql = presets
    assert demo.settings["updates"] == 40_000
    assert "eval_every" not in demo.settings
    assert "ten minutes" in demo.source
    assert demo.settings["dynamics.max_updates"] == config.dynamics.max_updates == 3800
    assert iql.settings == {"data.reward_normalization": "return_range"}
    assert configure("dataset=hopper-demo").cocoa is None


@pytest.mark.parametrize(
    ("arguments", "expectile", "temperature", "normalization"),
    [
        (["dataset=hopper-medium-v2"], 0.7, 3.0, "return_range"),
        (["dataset=d4rl/walker2d_medium-v2.hdf5"], 0.7, 3.0, "return_range"),
        ([PLAIN, "env=HalfCheetah-v4"], 0.7, 3.0, "return_range"),
        (["dataset=antmaze-large-play-v2"], 0.9, 10.0, "minus_one"),
        (["dataset=antmaze-large-play-v2", "algo.expectile=0.8"], 0.8, 10.0, "minus_one"),
        (["dataset=pen-human-v1"], 0.7, 0.5, "none"),
        (["dataset=ant-medium-v2"], 0.7, 3.0, "none"),
    ],
)
def test_iql_as_published(arguments: list[str], expectile: float, temperature: float, normalization: str):
    config = configure(*arguments)
    assert isinstance(config.algo, IQL)
    assert (config.algo.expectile, config.algo.temperature) == (expectile, temperature)
    assert config.data.reward_normalization == normalization


def test_presets_leave_alone_what_was_chosen_even_if_it_is_the_default():
    assert with_presets(Config(IQL()))[0].updates == 40_000
    kept, presets = with_presets(Config(IQL(), updates=1_000_000))
    assert kept.updates == 1_000_000
    assert all("updates" not in preset.settings for preset in presets)


@pytest.mark.parametrize(
    ("algo", "field", "value"),
    [
        ("sac", "initial_alpha", 0.0),
        ("mopo", "initial_alpha", 0.0),
        ("cql", "samples", 0),
        ("combo", "penalty_temperature", 0.0),
        ("td3_bc", "policy_delay", 0),
        ("rebrac", "noise_clip", -1.0),
    ],
)
def test_algorithms_refuse_values_out_of_range(algo: str, field: str, value: float):
    with pytest.raises(ValueError, match=field):
        REGISTRY[algo](**{field: value})
    assert f"algo.{field}" in mistake(f"algo={algo}", f"algo.{field}={value}")


@pytest.mark.parametrize("algo", [name for name in REGISTRY if name != "bc"])
@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_target_rates_are_shares(algo: str, rate: float):
    assert f"algo.target_rate={rate}" in mistake(f"algo={algo}", f"algo.target_rate={rate}")


def test_every_preset_fits_what_it_is_for():
    for preset in load_presets():
        for algo in [preset.algo] if preset.algo else ("iql", "mopo"):
            dataset = preset.datasets[0].replace("*", "some-v2")
            _, applied = compose([f"algo={algo}", "+cocoa", f"dataset={dataset}"])
            assert preset in applied


MISTAKES = {
    "algo=iqll": ["algo=iqll", "algo=iql?", "Choices: "],
    "+cocoa=neerest": ["cocoa=nearest?", "self-noise"],
    "algo.foo=3": ["algo.foo", "The fields of iql are", "expectile"],
    "algo=IQL": ["algo=iql?"],
    "+coca": ["+cocoa?"],
    "dataset=": ["dataset= is empty"],
    "runs_dir=": ["runs_dir= is empty"],
    "~updates": ["~updates takes a field away"],
    "~cocoa": ["~cocoa takes a field away", "without +cocoa"],
    "algo.learning_rate=0": ["algo.learning_rate=0.0", "above 0"],
    "algo.expectle=0.9": ["algo.expectle", "algo.expectile?"],
    "expectile=0.9": ["algo.expectile?"],
    "horizon=2": ["cocoa.horizon (with +cocoa)?"],
    "cocoa.horizon=3": ["add +cocoa"],
    "+foo=3": ["Unknown field foo", "--help"],
    "data.reward_normalisation=none": ["data.reward_normalization?"],
    "algo.name=cql": ["Unknown field algo.name"],
    "algo.hidden.first=3": ["algo.hidden?"],
    "algo.expectile=high": ["algo.expectile=high", "must be a number"],
    "algo.hidden=[3,wide]": ["algo.hidden=wide", "integer"],
    "algo.hidden=256": ["algo.hidden=256", "list"],
    "algo.cosine_schedule=1": ["true or false"],
    "data=3": ["data=3", "reward_normalization"],
    "updates=1.5": ["updates=1.5", "integer"],
    "updates=null": ["updates=null", "integer"],
    "updates=true": ["updates=true", "integer"],
    "algo.expectile=nan": ["algo.expectile", "number"],
    "name=${datset}": ["datset"],
    "seeds=0": ["seeds=4", "seeds=[3,7]"],
    "seeds=-2": ["seeds=4"],
    "seeds=[1,1]": ["different"],
    "updates=-1": ["updates=-1", "at least 1"],
    "batch_size=0": ["batch_size", "at least 1"],
    "eval_every=0": ["eval_every", "at least 1"],
    "eval_episodes=-1": ["eval_episodes", "at least 0"],
    "algo.discount=1.5": ["algo.discount", "0 to 1"],
    "algo.hidden=[0]": ["algo.hidden=0", "at least 1"],
    "dynamics.elites=9": ["7 members"],
    "dynamics.hidden=[200]": ["dynamics.weight_decay"],
    "dynamics.holdout_fraction=1": ["holdout_fraction"],
    "wandb=maybe": ["wandb=maybe", "auto, online, offline, off"],
    "data.reward_normalization=range": ["return_range?"],
    "dataset=a,b": ["Add -m"],
    "dataset=a=b": ["'dataset=a=b'", "quotes"],
    "iql": ["'iql'", "field=value"],
    "cocoa": ["+cocoa?"],
    "+algo.expectile=0.8": ["without the +"],
    "+algo=bc": ["without the +"],
    "seeds=1.5": ["seeds=1.5", "seeds=4"],
    "seeds=100000000": ["1 to 10,000"],
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_is_one_paragraph_that_names_the_nearest(argument: str):
    message = mistake(argument)
    assert "\n" not in message
    for part in MISTAKES[argument]:
        assert part in message


def test_mistakes_that_need_a_choice_first():
    assert "Write +cocoa=zero instead of cocoa.variant=zero" in mistake("+cocoa", "cocoa.variant=zero")
    message = mistake("+cocoa", "cocoa.candidates=3")
    assert message == "cocoa.candidates is a field of nearest, not of seek."
    assert "is a field of seek, settle, not of zero" in mistake("+cocoa=zero", "cocoa.seeker.patience=3")
    assert "Did you mean cocoa.candidates?" in mistake("+cocoa=nearest", "cocoa.candidate=3")
    assert "cocoa.encoder_hidden" in mistake("+cocoa", "cocoa.encoder_hidden=[]")
    assert "cocoa.seeker.max_epochs?" in mistake("+cocoa", "cocoa.seeker.max_epoch=3")
    assert "cocoa.horizon=0" in mistake("cocoa.horizon=0", "+cocoa")


@pytest.fixture
def new_algorithm():
    @register("quantile")
    @dataclass(frozen=True)
    class Quantile(BC):
        """Looks at quantiles."""

        quantile: float = 0.5
        """Which one."""

        def __post_init__(self):
            if not 0 < self.quantile < 1:
                raise ValueError("quantile must lie between 0 and 1")

    yield Quantile
    del REGISTRY["quantile"]


def test_a_new_algorithm_needs_no_yaml(new_algorithm: type[Algorithm], capsys: pytest.CaptureFixture[str]):
    config = configure("algo=quantile", "+cocoa", "algo.quantile=0.2", PLAIN)
    assert config.algo == new_algorithm(quantile=0.2)  # type: ignore[call-arg]
    assert "algo.quantile must lie between" in mistake("algo=quantile", "algo.quantile=2")
    assert "a field of iql, not of quantile" in mistake("algo=quantile", "algo.expectile=0.9")
    assert main(["algo=quantile", "--help"]) == 0
    assert "algo.quantile=0.5" in capsys.readouterr().out


def test_presets_of_models_are_for_runs_that_have_some():
    told = {algo: " ".join(map(str, compose([f"algo={algo}"])[1])) for algo in ("bc", "mopo")}
    assert "updates=40000" in told["bc"]
    assert "dynamics." not in told["bc"]
    assert "dynamics.max_updates=3800" in told["mopo"]


def test_a_configuration_survives_json():
    config = configure("+cocoa", "seeds=2", "algo.expectile=0.8", "name=x")
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    plain = configure(PLAIN)
    assert from_dict(json.loads(json.dumps(to_dict(plain)))) == plain


def test_a_damaged_configuration_is_a_user_error():
    values = to_dict(configure(PLAIN))
    with pytest.raises(ConfigError, match=r"Did you mean dynamics\.max_epochs"):
        from_dict(values | {"dynamics": {"max_epoch": 3}})
    with pytest.raises(ConfigError, match="algo=sarsa"):
        from_dict(values | {"algo": {"name": "sarsa"}})
    with pytest.raises(ConfigError, match="algo=null"):
        from_dict({})


def test_cfg_job_prints_the_whole_configuration(capsys: pytest.CaptureFixture[str]):
    assert main(["algo=iql", "--cfg", "job", "+cocoa=zero", "seeds=2"]) == 0
    printed = capsys.readouterr().out
    values = OmegaConf.to_container(OmegaConf.create(printed))
    assert from_dict(values) == configure("algo=iql", "+cocoa=zero", "seeds=2")  # type: ignore[arg-type]
    assert "# Preset hopper-demo: updates=40000" in printed


def test_help_names_every_field_algorithm_variant_and_preset(capsys: pytest.CaptureFixture[str]):
    assert main(["-h"]) == 0
    printed = capsys.readouterr().out
    inner = {"algo", "cocoa", "data", "distributed", "dynamics", "seeker"}
    for path, cls in [
        ("", Config),
        ("data.", DataConfig),
        ("distributed.", DistributedConfig),
        ("dynamics.", EnsembleConfig),
        ("algo.", IQL),
        ("cocoa.", Seek),
        ("cocoa.seeker.", SeekerConfig),
    ]:
        for name in {field.name for field in fields(cls)} - inner:
            assert f"  {path}{name}=" in printed
    words = printed.split()
    assert {*REGISTRY, *ANCHORS, "hopper-demo", "antmaze-*"} <= set(words)
    assert "0.5 averages over the data's actions" in " ".join(words)
    assert "Discount per step" in printed


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["algo=iqll"], "Did you mean algo=iql?"),
        (["--algo=iql"], "without dashes: algo=..."),
        (["--cfg", "jobs"], "jobs"),
        (["resume=runs/x", "wandb=off"], "leave out wandb=off"),
        (["resume=runs/x", "devices=2", "wandb=off"], "leave out wandb=off"),
        (["resume=runs/x", "devices=0"], "devices must be at least 1"),
        (["-m", "name=x", "algo.expectile=0.7,0.8"], "the same folder"),
        (
            ["distributed.coordinator=a:1", "distributed.processes=2", "distributed.process=0", "seeds=3"],
            "3 seeds cannot be divided evenly among 2 processes",
        ),
        (["distributed.processes=2"], "need distributed.coordinator=host:port"),
        (["distributed.coordinator=a", "distributed.processes=2", "distributed.process=0"], "host:port"),
        (["distributed.coordinator=a:1", "distributed.processes=2"], "distributed.process, which of them"),
        (
            ["distributed.coordinator=a:1", "distributed.processes=2", "distributed.process=2"],
            "from 0",
        ),
        (["-m", "algo=iql,iqll"], "Did you mean algo=iql?"),
        (["-m", "algo.expectile=interval(0,1)"], "0.7,0.9"),
        (["-m", "algo.expectile=tag(x,interval(0,1))"], "0.7,0.9"),
        (["-m", "algo=glob(z*)"], "no value at all; glob() chooses among names of algo"),
        (["-m", "updates=glob(*)", "--cfg", "job"], "no value at all"),
        (["-m", "updates=range(5,1)"], "no value at all"),
        (["-m", "updates=range(1,9,0)"], "cannot be listed"),
        (["-m", "updates=range(1,1000000000)"], "more than 10,000 runs"),
        (["-m", "seeds=range(0,200)", "updates=range(0,200)"], "more than 10,000 runs"),
        (["-m", "algo=choice()"], "Cannot read 'algo=choice()'"),
        (["algo=glob(*)"], "Add -m"),
        (["hydra.run.dir=elsewhere"], "no effect on a single run"),
        (["algo=bc", "--trust"], "--trust has no effect without resume:"),
        (["-m", "resume=runs"], "resume goes on with one run"),
        (["resume=runs", "--cfg", "job"], "resume goes on with one run"),
        (["hydra/launcher=basic", "--cfg", "job"], "no effect on a single run"),
        (["-m", "hydra.sweep.dir=elsewhere", "algo=bc,iql"], "no effect on runs of -m"),
        (["-m", "hydra/launcher=basic", "hydra.run.dir=x"], "no effect on runs of -m"),
        (["-m", "hydra/sweeper=basic"], "values come from the command line"),
        (["name=\udcff"], r"'name=\udcff' has bytes that are no text"),
        (["resume=a", "resume=b"], "one by one"),
        (["resume"], "resume needs the folder of a run"),
        (["resume", "runs/x", "wandb=off"], "leave out wandb=off"),
        (["-m", "resume", "runs"], "resume goes on with one run"),
        (["report", "no such folder"], "no finished run below no such folder"),
    ],
)
def test_user_errors_exit_with_2(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_cfg_job_of_a_multirun_prints_each_configuration(capsys: pytest.CaptureFixture[str]):
    assert main(["-m", "algo=iql,bc", "--cfg", "job"]) == 0
    documents = capsys.readouterr().out.split("---\n")[1:]
    assert [OmegaConf.create(document).algo.name for document in documents] == ["iql", "bc"]  # type: ignore


def test_multirun_is_every_combination():
    assert expand(["+cocoa=none,default", "algo=iql", 'dataset=a,"b,c"', "seeds=[1,2],[3]"]) == [
        [f"cocoa={cocoa}", "algo=iql", f"dataset={dataset}", f"seeds={seeds}"]
        for cocoa in ("none", "default")
        for dataset in ("a", '"b,c"')
        for seeds in ("[1,2]", "[3]")
    ]
    assert [configure(*job).cocoa is None for job in expand(["+cocoa=none,zero"])] == [True, False]
    assert expand(["+cocoa=none,settle", "cocoa.horizon=1,3", "seeds=2"]) == [
        ["cocoa=none", "seeds=2"],
        ["cocoa=settle", "cocoa.horizon=1", "seeds=2"],
        ["cocoa=settle", "cocoa.horizon=3", "seeds=2"],
    ]


def algorithms(*sweep: str) -> list[str]:
    return [compose(job)[0].algo.name for job in expand(sweep)]


def test_extended_sweep_syntax():
    assert {f"algo={name}" for name in REGISTRY} <= {job[0] for job in expand(["algo=glob(*)"])}
    assert algorithms("algo=glob([i*,m*],exclude=*bil*)") == ["iql", "mopo"]
    assert algorithms("algo=choice(iql,bc)") == algorithms("algo=tag(a,choice(iql,bc))") == ["iql", "bc"]
    assert algorithms("algo=sort(iql,bc)") == ["bc", "iql"]
    assert sorted(algorithms("algo=shuffle(iql,bc)")) == ["bc", "iql"]
    assert expand(["batch_size=range(32,97,32)"]) == [[f"batch_size={size}"] for size in (32, 64, 96)]
    assert {configure(*job).variant for job in expand(["+cocoa=glob(*)"])} == {None, *ANCHORS}


def test_runs_that_are_equal_are_one(capsys: pytest.CaptureFixture[str]):
    assert main(["-m", "+cocoa=default,seek,zero", "algo=iql", "--cfg", "job"]) == 0
    captured = capsys.readouterr()
    documents = captured.out.split("---\n")[1:]
    assert [OmegaConf.create(document).cocoa.variant for document in documents] == ["seek", "zero"]
    assert captured.err == "Left out: cocoa=seek algo=iql is the same as cocoa=default algo=iql\n"


def test_of_a_field_given_twice_the_last_counts_and_the_first_is_told(capsys: pytest.CaptureFixture[str]):
    assert main(["algo=iql", "updates=7", "algo=bc", "updates=7", "--cfg", "job"]) == 0
    printed = capsys.readouterr().out
    assert OmegaConf.create(printed).algo.name == "bc"
    assert "# algo=iql has no effect, since algo=bc comes later." in printed
    assert "updates=7 has no effect" not in printed


def test_a_deleted_working_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["algo=bc"]) == 2
    assert "working directory was deleted" in capsys.readouterr().err


def test_a_launcher_runs_what_is_run_without_one(tmp_path: Path):
    """Fields of anchors are left out of runs without, and no character is lost on the way."""
    arguments = [
        "-m",
        "+cocoa=none,zero",
        "cocoa.embedding=2",
        "algo=bc",
        "algo.hidden=[8]",
        "cocoa.hidden=[8]",
    ]
    arguments += ["updates=2", "log_every=2", "eval_every=2", "eval_episodes=0", "wandb=off"]
    arguments += ['name="it\'s a, ü=1"', "runs_dir='my runs'"]
    command = [sys.executable, str(TRAIN), *arguments, "hydra/launcher=basic"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    names = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("**/summary.json")}
    parent, name = "my runs/hopper-demo", "it's a, ü=1"
    assert names == {f"{parent}/bc/{name}", f"{parent}/bc+cocoa-zero/{name}"}
    assert {path.name for path in tmp_path.iterdir()} == {"my runs"}


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=basic"]])
def test_a_failed_job_does_not_stop_the_others(launcher: list[str], tmp_path: Path):
    command = [sys.executable, str(TRAIN), "-m", "dataset=hoper-demo,hoppr-demo", "wandb=off", *launcher]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    for name in ("hoper-demo", "hoppr-demo"):
        assert f"Dataset '{name}' is neither a known name nor a file" in done.stderr
    assert "Traceback" not in done.stderr


Kill = Callable[[int, int], None]


@pytest.mark.parametrize(
    ("launcher", "kill", "number"),
    [
        ([], os.killpg, signal.SIGTERM),
        ([], os.killpg, signal.SIGINT),
        ([], os.kill, signal.SIGINT),
        (["hydra/launcher=basic"], os.kill, signal.SIGTERM),
    ],
)
def test_a_stopped_multirun_stops_its_job_and_starts_no_other(
    launcher: list[str], kill: Kill, number: int, tmp_path: Path
):
    """Whether both are told to stop, or the first alone, the job saves, and can be gone on with."""
    short = ["dataset=hopper-demo", "updates=1000000", "log_every=20", "wandb=off", "eval_episodes=0"]
    command = [sys.executable, str(TRAIN), "-m", "algo=bc", "algo.hidden=[8],[16]", *short, *launcher]
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    pipe |= {"text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipe) as run:
        assert run.stdout is not None
        said = next(line for line in run.stdout if "Training on" in line)
        kill(run.pid, number)
        rest = run.stdout.read()
    assert "Stopped; everything is saved" in rest
    assert ("Not started: algo=bc 'algo.hidden=[16]'" in rest) == (not launcher)
    assert "1 seed" in said
    assert run.returncode == 130
    assert [json.loads(path.read_text())["status"] for path in tmp_path.glob("**/summary.json")] == [
        "interrupted"
    ]


def test_hydra_leaves_nothing_behind(tmp_path: Path):
    command = [sys.executable, str(TRAIN), "--cfg", "job", "+cocoa"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "variant: seek" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
