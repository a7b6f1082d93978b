"""What `cocoa.fit` says of arguments that it cannot take."""

import numpy as np
import pytest

import cocoa
from cocoa.api import fit
from cocoa.errors import ConfigError

MISTAKES = [
    ({"algorithm": "iql"}, "cocoa.IQL()"),
    ({"algorithm": cocoa.IQL}, "instance"),
    ({"algorithm": cocoa.IQL(hidden=3)}, "algo.hidden must be a list"),
    ({"dataset": np.zeros(3)}, "ndarray; pass its name"),
    ({"cocoa": 3}, "name of a variant"),
    ({"cocoa": "sek"}, "Did you mean cocoa=seek"),
    ({"dynamics": "quik"}, "Did you mean dynamics=quick"),
    ({"dynamics": 3}, "dynamics must be given field by field"),
    ({"data": {"top_episode": 0.1}}, "Did you mean data.top_episodes"),
    ({"seeds": "12"}, "seeds must be a number of seeds"),
    ({"seeds": [0.5]}, "seeds must be an integer"),
    ({"seeds": np.zeros((2, 2))}, "seeds must be an integer"),
    ({"seeds": 0}, "seeds=0 is not possible"),
    ({"seeds": [3, 2**32]}, "2^32 - 1"),
    ({"seeds": np.array(2)}, "updates=0"),
    ({"seeds": np.int64(2)}, "updates=0"),
    ({"updates": 10.5}, "updates must be an integer"),
    ({"wandb": False}, "wandb must be a text"),
    ({"update": 5}, "Did you mean updates"),
    ({"data.top_episodes": 0.1}, 'Pass it as data={"top_episodes": ...}'),
    ({"members": 3}, 'Pass it as dynamics={"members": ...}'),
    ({"expectile": 0.8}, "Pass it as IQL(expectile=...), the first argument"),
    ({"embedding": 3}, "Pass it as cocoa=cocoa.Seek(embedding=...)"),
    ({"cocoa.seeker.patience": 3}, 'Pass it as cocoa=cocoa.Seek(seeker={"patience": ...}).'),
    ({"candidates": 3}, "Pass it as cocoa=cocoa.Nearest(candidates=...)"),
    ({"cocoa": "zero", "candidates": 3}, "There is no field candidates"),
    ({"patience": 3}, 'seeker={"patience": ...}) or as dynamics={"patience": ...}.'),
    ({"algo": "iql"}, "The algorithm is the first argument"),
    ({"resume": "runs"}, "cocoa.resume(folder)"),
    (
        {"seeds": np.arange(2), "dynamics": "quick", "data": {"top_episodes": 0.1}},
        "updates=0",
    ),  # all else fits
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_gets_one_sentence_that_helps(arguments, message):
    with pytest.raises(ConfigError) as error:
        fit(**{"algorithm": cocoa.IQL(), "dataset": "hopper-demo", "updates": 0, **arguments})
    assert message in str(error.value)
