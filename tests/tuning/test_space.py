"""Search spaces: which values a command line allows, and which it cannot."""

from __future__ import annotations

import pytest

pytest.importorskip("optuna")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from cocoa.cli import main
from cocoa.config.compose import compose
from cocoa.errors import ConfigError
from cocoa.tuning.space import read_space


@pytest.mark.parametrize(
    ("argument", "spread"),
    [
        ("algo.expectile=interval(0.5,0.99)", FloatDistribution(0.5, 0.99)),
        ("algo.learning_rate=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("batch_size=interval(16,256)", IntDistribution(16, 256)),
        ("batch_size=tag(log,interval(16,256))", IntDistribution(16, 256, log=True)),
        ("batch_size=range(64,257,64)", IntDistribution(64, 256, step=64)),
        ("batch_size=range(64,256,64)", IntDistribution(64, 192, step=64)),
        ("algo.discount=range(0.9,1,0.02)", FloatDistribution(0.9, 0.98, step=0.02)),
        ("algo.temperature=tag(int,interval(1,10))", IntDistribution(1, 10)),
        ("algo.temperature=choice(1,3,10)", CategoricalDistribution(["1", "3", "10"])),
        ("algo.temperature=1,3", CategoricalDistribution(["1", "3"])),
        ("algo.hidden=choice([64],[64,64])", CategoricalDistribution(["[64]", "[64,64]"])),
        ("+cocoa=none,default", CategoricalDistribution(["none", "default"])),
    ],
)
def test_a_range_becomes_a_distribution_of_the_type_of_its_field(argument, spread):
    space = read_space(["algo=iql", "seeds=2", argument])
    assert list(space.distributions.values()) == [spread]
    assert space.fixed == ("algo=iql", "seeds=2")
    assert compose(space.words(space.first))[0].seeds == (0, 1)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("algo.expectile=0.7", "no range to search in"),
        ("algo.expectile=interval(0.99,0.5)", "up to a larger one"),
        ("algo.expectile=interval(0.5,0.5)", "up to a larger one"),
        ("algo.expectile=interval(0.5,inf)", "up to a larger one"),
        ("algo.expectile=interval(nan,0.9)", "up to a larger one"),
        ("algo.expectile=range(0.9,0.5,0.1)", "up to a larger one"),
        ("algo.expectile=interval(0.5,1.5)", "algo.expectile=1.5 must lie between 0 and 1"),
        ("algo.expectile=choice(0.7,2)", "algo.expectile=2.0 must lie between"),
        ("algo.expectile=choice(0.7)", "a choice of one value"),
        ("algo.expectile=glob(*)", "no range that can be searched"),
        ("algo.expectile=tag(lag,interval(0.5,0.9))", "has the tag lag"),
        ("algo.expectilee=interval(0.5,0.9)", "Did you mean algo.expectile"),
        ("algo.temperature=tag(log,interval(0,3))", "begins above 0"),
        ("batch_size=interval(0,64)", "batch_size must be at least 1"),
        ("batch_size=interval(0.5,64)", "batch_size must be an integer"),
        ("batch_size=tag(log,range(1,100,7))", "has no steps"),
        ("algo.hidden=interval(8,16)", "algo.hidden must be a list"),
        ("data.observation_normalization=interval(0,1)", "must be true or false"),
        ("matmul_precision=interval(0,1)", "is not possible"),
        ("seeds=[0],[1]", "seeds is the same in all trials"),
        ("dataset=a.hdf5,b.hdf5", "dataset is the same in all trials"),
        ("cocoa.horizon=interval(1,3)", "add +cocoa"),
        ("hydra/launcher=joblib", "leave out Hydra's own settings"),
    ],
)
def test_a_range_that_is_not_possible_is_refused(argument, message):
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        read_space(["algo=iql", argument])


def test_a_field_has_a_value_or_a_range():
    words = ["algo=iql", "algo.hidden=[32]", "algo.hidden=choice([16],[64])"]
    with pytest.raises(ConfigError, match=r"algo.hidden has a range, and the value of algo.hidden=\[32\]"):
        read_space(words)
    with pytest.raises(ConfigError, match="algo has a range"):
        read_space(["algo=iql", "algo=iql,bc"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name the study"),
        (["study=first", "eval_episodes=0"], "no score to search by"),
        (["study=first", "trials=0"], "at least one trial"),
        (["study=first", "objective=fqes"], "Did you mean objective=fqe"),
        (["study=first", "objective=fqe", "data.validation=0.1,0.2"], "data.validation is not possible"),
        (["study=first", "trials=many"], "trials must be an integer"),
        (["study=first", "pruner=mean"], "Did you mean pruner=median"),
        (["study=first", "name=mine"], "a study names its runs"),
        (["--show", "runs/none"], "has no effect with --show"),
    ],
)
def test_a_search_that_is_not_possible_is_refused_before_anything_runs(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "algo=iql", "algo.expectile=interval(0.5,0.9)", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
