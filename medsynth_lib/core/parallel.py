"""Independent trainings in parallel processes: on small batches, a second process helps more than a second thread."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import psutil
import torch
from joblib import Parallel, delayed, parallel_config


def side_by_side(jobs: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run functions without arguments in parallel; returns their results by name.

    On a CPU there are as many processes as torch has threads here, with one thread each; on a GPU, one job runs after
    another. Functions and results are copied between processes: a job must return its results or write them to files.
    The first error of a job is raised again.
    """
    workers = 1 if torch.cuda.is_available() else min(torch.get_num_threads(), len(jobs))
    if workers < 2:
        return {name: job() for name, job in jobs.items()}
    exact = torch.are_deterministic_algorithms_enabled()
    with parallel_config(backend="loky", inner_max_num_threads=1):
        calls = (delayed(_in_a_process)(name, job, os.getpid(), exact) for name, job in jobs.items())
        return dict(zip(jobs, Parallel(n_jobs=workers, max_nbytes=None)(calls), strict=True))


def completed(planned: Iterable, find: Callable, work: Callable) -> dict:
    """{job: result of `look(job)`}; where there is none, `work(job)` is run first, in parallel. Jobs have a `path`.

    work   job -> a function without arguments that writes what `look` reads
    """
    planned = list(planned)
    found = {job: find(job) for job in planned}
    missing = {job.path: work(job) for job in planned if not found[job]}
    if missing:
        print(f"{len(missing)} of {len(planned)} trainings are missing and will be run now")
        side_by_side(missing)
    return {job: found[job] or find(job) for job in planned}


def _in_a_process(name: str, job: Callable[[], Any], parent: int, exact: bool) -> Any:
    """Run the job with its name before every line it prints; exit as soon as the parent process ends (`kill -9`)."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.use_deterministic_algorithms(exact, warn_only=True)
    with contextlib.redirect_stdout(NamedLines(name, sys.stdout)):
        return job()


def _end_with(parent: int) -> None:
    """Exit when process `parent` ends: an orphan would write into the folder of the next training.

    psutil identifies a process by its id and start time; an id alone may have been reused.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        watched = psutil.Process(parent)
        while watched.is_running() and watched.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    os._exit(1)


class NamedLines(io.TextIOBase):
    """A stream that writes whole lines to another one, each with a name in front."""

    def __init__(self, name: str, out: TextIO):
        self.name, self.out, self.rest = name, out, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.out.write(f"{self.name}: {line}\n")
        self.out.flush()
        return len(text)
