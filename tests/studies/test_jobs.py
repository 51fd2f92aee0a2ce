"""How a job ends: with 0, or with one sentence and 1."""

import errno

import pytest

from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.core.method import TrainingError
from medsynth_lib.data.slices import DataError
from medsynth_lib.evaluation.report import ReportError
from medsynth_lib.studies.jobs import status


def failing(error):
    def work():
        raise error

    return work


def test_work_that_ends_is_0_and_says_nothing(capsys):
    done = []
    assert status("arms/x/0", lambda: done.append(1)) == 0
    assert done == [1] and capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", [DataError, ValueError, CheckpointError, TrainingError, ReportError])
def test_known_faults_are_one_sentence_and_1(capsys, kind):
    assert status("arms/x/0", failing(kind("no masks; add them."))) == 1
    assert capsys.readouterr().out == "arms/x/0: no masks; add them.\n"


def test_a_full_disk_is_told_with_what_to_do(capsys):
    assert status("own/edm9/0", failing(OSError(errno.ENOSPC, "No space left on device", "a.npy"))) == 1
    said = capsys.readouterr().out
    assert said.startswith("own/edm9/0: a.npy: No space left on device; free space") and len(said.splitlines()) == 1


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(TypeError):
        status("arms/x/0", failing(TypeError("ours")))
