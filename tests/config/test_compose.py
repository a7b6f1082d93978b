"""What the arguments of a command line mean, and which error a mistake gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cocoa.algos import REGISTRY, Algorithm, register
from cocoa.algos.bc import BC
from cocoa.algos.iql import IQL
from cocoa.anchors import ANCHORS, Seek, SeekerConfig
from cocoa.cli import main
from cocoa.cli.study_file import spelled_out
from cocoa.cli.sweep import expand
from cocoa.config.compose import compose
from cocoa.config.presets import load_presets
from cocoa.config.schema import Config, from_dict, to_dict
from cocoa.data.preprocessing import DataConfig
from cocoa.data.sources import SOURCES, dataset_name
from cocoa.dynamics.config import ENSEMBLES, EnsembleConfig
from cocoa.errors import ConfigError

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
        data=DataConfig(observation_normalization=True),
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
        (["dataset=d4rl/walker2d_medium-v2.hdf5"], 0.7, 3.0, "none"),
        (["dataset=antmaze-large-play-v2.hdf5"], 0.7, 3.0, "none"),
        ([PLAIN, "env=HalfCheetah-v4"], 0.7, 3.0, "none"),
        (["dataset=antmaze-large-play-v2"], 0.9, 10.0, "none"),
        (["dataset=antmaze-large-play-v2", "algo.expectile=0.8"], 0.8, 10.0, "none"),
        (["dataset=pen-human-v1"], 0.7, 0.5, "none"),
        (["dataset=ant-medium-v2"], 0.7, 3.0, "none"),
    ],
)
def test_iql_as_published(arguments: list[str], expectile: float, temperature: float, normalization: str):
    config = configure(*arguments)
    assert isinstance(config.algo, IQL)
    assert (config.algo.expectile, config.algo.temperature) == (expectile, temperature)
    assert config.data.reward_normalization == normalization


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
    names = [name for source in SOURCES if source.presets for name in source.names()]
    for preset in load_presets():
        dataset = next(name for name in names if preset.fits(name))
        for algo in [preset.algo] if preset.algo else ("iql", "mopo"):
            _, applied = compose([f"algo={algo}", "+cocoa", f"dataset={dataset}"])
            # With +cocoa, presets do not set what then has no effect.
            assert (preset.name, preset.datasets) in [(one.name, one.datasets) for one in applied]


def test_values_that_refer_to_others():
    words = [
        "-".join(["name=e${algo.expectile}", "${updates}"]),
        "algo.expectile=0.8",
        "eval_every=${updates}",
    ]
    config = configure("dataset=hopper-demo", *words)
    assert (config.name, config.eval_every) == ("e0.8-40000", 40_000)


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
    "horizon=2": ["cocoa.horizon needs anchors: add +cocoa to"],
    "cocoa.candidates=2": ["add +cocoa=nearest to"],
    "algo@x=iql": ["has an @"],
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
    assert "a field of iql, ifql, leq, not of quantile" in mistake("algo=quantile", "algo.expectile=0.9")
    assert main(["algo=quantile", "--help"]) == 0
    assert "algo.quantile=0.5" in capsys.readouterr().out


def test_presets_of_models_are_for_runs_that_have_some():
    texts = {algo: " ".join(map(str, compose([f"algo={algo}"])[1])) for algo in ("bc", "mopo")}
    assert "updates=40000" in texts["bc"]
    assert "dynamics." not in texts["bc"]
    assert "dynamics.max_updates=3800" in texts["mopo"]


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


@pytest.mark.parametrize(
    "path", ["/home/josé/データ/hopper.hdf5", "R&D/run #1.hdf5", "a b/ü~1.npz", 'ø"q.npz']
)
def test_a_path_needs_quotes_for_nothing_but_commas_brackets_and_quotes(path: str):
    written = json.dumps(path, ensure_ascii=False) if '"' in path else path
    assert configure(f"dataset={written}").dataset == path
    assert configure(f"dataset=[{written}, b.hdf5]").dataset == dataset_name([path, "b.hdf5"])
    jobs = expand([f"dataset={written},b.hdf5", "seeds=choice([0],[1])"])
    assert [configure(*job).dataset for job in jobs] == [path, path, "b.hdf5", "b.hdf5"]


def test_a_missing_list_is_shown_by_an_example_of_its_kind():
    assert "a list, such as [a,b], in which each is a text" in mistake("logger=csv")
    assert "a list, such as [1,2], in which each is an integer" in mistake("algo.hidden=8")


def test_a_list_of_a_study_file_keeps_its_letters(tmp_path: Path):
    (tmp_path / "étude.yaml").write_text("dataset: [[ä.hdf5, b.hdf5]]\nruns_dir: 走る\n", encoding="utf-8")
    config = configure(*spelled_out([str(tmp_path / "étude.yaml")]))
    assert (config.study, config.dataset, config.runs_dir) == ("étude", "[ä.hdf5,b.hdf5]", "走る")


def test_rewards_that_are_all_the_same_are_refused():
    assert "all rewards would be the same" in mistake("data.reward_scale=0")
    assert configure("data.reward_scale=-1").data.reward_scale == -1
