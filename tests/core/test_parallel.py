"""Jobs side by side: what they return, print and raise, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from medsynth_lib.core.method import TrainingError
from medsynth_lib.core.parallel import completed, side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_results_come_back_by_name_from_other_processes_of_one_thread(two_threads, on_cpu):
    def job(x):
        return x, os.getpid(), torch.get_num_threads()

    found = side_by_side({"b": lambda: job(2), "a": lambda: job(1), "c": lambda: job(3)})
    assert [(name, value[0]) for name, value in found.items()] == [("b", 2), ("a", 1), ("c", 3)]
    assert all(pid != os.getpid() and threads == 1 for _, pid, threads in found.values())


def test_one_thread_or_a_gpu_takes_them_here_one_after_another(two_threads, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert set(side_by_side({"a": os.getpid, "b": os.getpid}).values()) == {os.getpid()}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    torch.set_num_threads(1)
    assert set(side_by_side({"a": os.getpid, "b": os.getpid}).values()) == {os.getpid()}


def test_an_error_keeps_its_type_and_its_sentence(two_threads, on_cpu):
    def broken():
        raise TrainingError("the loss 'g' is nan")

    with pytest.raises(TrainingError, match="the loss 'g' is nan"):
        side_by_side({"good": os.getpid, "bad": broken})


def test_every_line_carries_the_name_of_its_job(capfd, two_threads, on_cpu):
    def job(text):
        print(text, "of", "two", flush=True)

    side_by_side({"arm 1": lambda: job("one"), "arm 2": lambda: job("two")})
    assert set(capfd.readouterr().out.splitlines()) == {"arm 1: one of two", "arm 2: two of two"}


def test_no_job_outlives_a_killed_parent(tmp_path):
    """Else an orphan would train on in the folder in which the next call has begun to train."""
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import os, time, torch
from pathlib import Path
from medsynth_lib.core.parallel import side_by_side
torch.set_num_threads(2)
torch.cuda.is_available = lambda: False
def job(name):
    Path({str(tmp_path)!r}, name).write_text(str(os.getpid()))
    time.sleep(120)
side_by_side({{name: (lambda name=name: job(name)) for name in ("a", "b")}})
""",
        encoding="utf-8",
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    notes = [tmp_path / "a", tmp_path / "b"]
    wait_for(lambda: all(note.is_file() and note.read_text() for note in notes), 120)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(alive(int(note.read_text())) for note in notes), 20)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat", encoding="utf-8") if os.path.isdir("/proc") else open(os.devnull) as stat:
        return ") Z " not in stat.read()  # a dead one that nobody has asked about


def wait_for(true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_only_what_is_missing_is_done(two_threads, on_cpu):
    """b was there; a and c are made once, and what they left is read."""
    left, made = {"b": "old"}, []

    class Job(str):
        path = property(str)

    def make(job):
        made.append(str(job))
        left[job] = "new"

    jobs = [Job(name) for name in "abc"]
    torch.set_num_threads(1)  # in this process, so that the list is this one
    found = completed(jobs, left.get, lambda job: lambda: make(job))
    assert found == {"a": "new", "b": "old", "c": "new"} and sorted(made) == ["a", "c"]
