"""A job's output goes to its log and, with a name in front, to stdout; its exit code is the child's."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from medsynth_lib.course import job

CHILD = """
import os, sys, time
print("threads", os.environ["OMP_NUM_THREADS"], os.environ["MEDSYNTH_THREADS"], os.environ.get("OMP_WAIT_POLICY"))
print(sys.argv[1:], "\u00e4")
print("to stderr", file=sys.stderr)
if "wait" in sys.argv:
    time.sleep(60)
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The command line of a job that runs the module `child` above, in a folder with spaces."""
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    log = tmp_path / "my log" / "log.txt"
    start = [sys.executable, "-m", "medsynth_lib.course.job", "--log", str(log), "--name", "arm 0", "--threads", "3"]
    return [*start, "--", "child"], log


def run(words, root, *more):
    return subprocess.run([*words, *more], capture_output=True, cwd=root, timeout=60)


def test_log_and_output_say_the_same_and_words_arrive_whole(words, root, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    start, log = words
    done = run(start, root, "data=folder:/my data", "--generators=vae edm", 'it\'s 100 % "so"', "0")
    said = log.read_text(encoding="utf-8").splitlines()
    assert said[0] == "threads 3 3 None" and "to stderr" in said
    assert said[1] == "['data=folder:/my data', '--generators=vae edm', 'it\\'s 100 % \"so\"', '0'] ä"
    assert done.stdout.decode("utf-8").splitlines() == [f"[arm 0] {line}" for line in said]
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("code", [1, 138])
def test_a_failure_keeps_the_log_and_the_exit_code(words, root, code):
    start, log = words
    assert run(start, root, str(code)).returncode == code
    assert log.is_file()


def test_a_job_that_shares_the_cores_does_not_spin():
    assert job.environment(1, shared=True)["OMP_WAIT_POLICY"] == "PASSIVE"


def test_where_nobody_listens_the_log_goes_on(words, root):
    start, log = words
    with subprocess.Popen([*start, "0"], stdout=subprocess.PIPE, cwd=root) as process:
        process.stdout.close()
    assert process.returncode == 0 and len(log.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_child_is_a_failure(words, root):
    start, log = words
    with subprocess.Popen([*start, "wait", "0"], stdout=subprocess.PIPE, cwd=root) as process:
        process.stdout.readline()
        (child,) = children(process.pid)
        os.kill(child, signal.SIGKILL)
        assert process.wait(20) == 128 + signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_control_c_ends_the_child_and_its_last_words_are_kept(words, root):
    start, log = words
    how = {"stdout": subprocess.PIPE, "cwd": root, "start_new_session": True}
    # Where a shell or an earlier test made this process ignore Ctrl-C, the job would inherit that.
    how["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([*start, "wait", "0"], **how) as process:
        process.stdout.readline()
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 128 + signal.SIGINT
    assert "KeyboardInterrupt" in log.read_text(encoding="utf-8")


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children()]


def test_a_log_that_can_no_longer_be_written_ends_the_job(tmp_path, monkeypatch, capsys):
    """Its child, which would sleep for a minute, has nowhere to write either."""
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, line):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(job, "open", lambda *_: Full(), raising=False)
    words = ["--log", str(tmp_path / "log.txt"), "--name", "x", "--threads", "1", "--", "child", "wait", "0"]
    before = time.monotonic()
    assert job.main(words) == 1 and time.monotonic() - before < 30
    assert "log.txt could not be written: No space left on device; free space" in capsys.readouterr().out


def test_a_log_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    words = ["--log", str(tmp_path / "file" / "log.txt"), "--name", "x", "--threads", "1", "--", "child"]
    assert job.main(words) == 1 and "could not be written" in capsys.readouterr().out
