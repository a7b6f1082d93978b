"""The file of evaluated episodes: what is written is read back, and damage is named by its line."""

import numpy as np
import pytest

from cocoa.errors import RunError
from cocoa.runs.episodes import EpisodesFile, read_episodes
from cocoa.training.evaluation import Episodes

EPISODES = Episodes(
    np.array([[0.1, -1e300], [np.inf, 2.0]]),
    np.array([[3, 1000], [1, 7]]),
    np.array([[1.0, 0.0], [np.nan, 1.0]]),
)
ROWS = """step,seed,episode,return,length,success
20,7,0,0.1,3,1.0
20,7,1,-1e+300,1000,0.0
20,3,0,inf,1,nan
20,3,1,2.0,7,1.0
"""


@pytest.fixture
def path(tmp_path):
    file = EpisodesFile(tmp_path / "episodes.csv")
    file.write(20, EPISODES, (7, 3))
    file.close()
    return file.path


def test_one_row_is_one_episode(path):
    assert path.read_text() == ROWS
    episodes = read_episodes(path)
    assert list(episodes) == [20]
    for row, seed in enumerate((7, 3)):
        np.testing.assert_array_equal(episodes[20][seed].T, [values[row] for values in EPISODES])


def test_a_resumed_file_goes_on_where_the_checkpoint_was(path):
    file = EpisodesFile(path, len(ROWS))
    position, crc32 = file.position(), file.crc32
    file.write(40, EPISODES, (7, 3))
    file.close()
    whole = path.read_bytes()
    again = EpisodesFile(path, position, crc32)
    assert path.read_text() == ROWS
    again.write(40, EPISODES, (7, 3))
    again.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("step,", "Step,", 1),
        ("20,7,1", "20,7,2", 3),
        ("1000,0.0", "1000", 3),
        ("inf", "much", 4),
        ("20,3,1", "x,3,1", 5),
    ],
)
def test_damage_is_named_by_its_line(path, old, new, line):
    path.write_text(ROWS.replace(old, new))
    with pytest.raises(RunError, match=f"is damaged in line {line}"):
        read_episodes(path)


def test_a_row_that_is_still_written_is_left_out(path):
    path.write_text(ROWS[:-3])
    assert len(read_episodes(path)[20][3]) == 1
