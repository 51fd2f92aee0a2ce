"""Two processes do not work in one folder at a time; who waits is told for whom; a killed holder frees the lock."""

import subprocess
import sys
import threading

import pytest

from medsynth_lib.core.locks import LOCK, Taken, lock, own_turn

HOLD = """
import sys
from pathlib import Path
from medsynth_lib.core.locks import own_turn
with own_turn(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path, root):
    """Another process that holds the folder's lock until its stdin is closed or it is ended."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "new")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=root, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("end", [lambda other: other.stdin.close(), lambda other: other.kill()], ids=["ends", "dies"])
def test_the_next_waits_says_for_whom_and_follows(other, end, tmp_path, capsys):
    entered = threading.Event()

    def work():
        with own_turn(tmp_path / "new", "arms/{odd}"):
            entered.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert not entered.wait(1)
    assert capsys.readouterr().out == (
        f"process {other.pid} of an earlier call still runs arms/{{odd}}; waiting for it to end\n"
    )
    end(other)
    assert entered.wait(20)
    thread.join(20)


def test_who_does_not_want_to_wait_is_told_who_holds_it(other, tmp_path):
    with pytest.raises(Taken, match=f"process {other.pid}"), lock(tmp_path / "new" / LOCK):
        raise AssertionError("entered")
    other.stdin.close()
    other.wait(20)
    with lock(tmp_path / "new" / LOCK):
        pass


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), own_turn(tmp_path, "it"):
        raise ZeroDivisionError
    with lock(tmp_path / LOCK):
        pass
