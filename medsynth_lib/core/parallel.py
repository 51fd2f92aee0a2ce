"""Independent trainings side by side: small batches gain nothing from a second thread, two processes do."""

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
    """What each of these functions without arguments returns, by name.

    On a CPU as many processes as torch may use threads here, with one thread each; a GPU takes one after another.
    Functions and results are copied from process to process: a job returns what it makes, or writes it to files.
    The first error of a job is raised again here.
    """
    workers = 1 if torch.cuda.is_available() else min(torch.get_num_threads(), len(jobs))
    if workers < 2:
        return {name: job() for name, job in jobs.items()}
    exact = torch.are_deterministic_algorithms_enabled()
    with parallel_config(backend="loky", inner_max_num_threads=1):
        calls = (delayed(_in_a_process)(name, job, os.getpid(), exact) for name, job in jobs.items())
        return dict(zip(jobs, Parallel(n_jobs=workers, max_nbytes=None)(calls), strict=True))


def completed(planned: Iterable, look: Callable, work: Callable) -> dict:
    """{job: what `look(job)` finds}; where that is None, `work(job)` is done first, side by side. Jobs have a `path`.

    work   job -> a function without arguments that leaves behind what `look` reads
    """
    planned = list(planned)
    found = {job: look(job) for job in planned}
    missing = {job.path: work(job) for job in planned if not found[job]}
    if missing:
        print(f"{len(missing)} of {len(planned)} trainings are missing and made now")
        side_by_side(missing)
    return {job: found[job] or look(job) for job in planned}


def _in_a_process(name: str, job: Callable[[], Any], parent: int, exact: bool) -> Any:
    """Run the job, its name before every line it prints; end at once when the parent does (`kill -9`)."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.use_deterministic_algorithms(exact, warn_only=True)
    with contextlib.redirect_stdout(NamedLines(name, sys.stdout)):
        return job()


def _end_with(parent: int) -> None:
    """Without this an orphan would go on and write into the folder of the training that is started next.

    psutil knows a process by its id and its start, on every system; an id alone may belong to another one by now.
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
