"""A reason and a way out for what the system refuses."""

import errno
import os
from types import SimpleNamespace

import pytest

from medsynth_lib.experiment import disk


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/x.npy"), "/runs/x.npy: No space left on device; free"),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), "/runs: Permission denied; free space, or set"),
        (OSError("1024 requested and 0 written"), "1024 requested and 0 written; free space"),
    ],
)
def test_one_sentence_names_file_reason_and_fix(error, words):
    told = disk.sentence(error)
    assert told.startswith(words) and told.endswith("set MEDSYNTH_RUNS to a folder that you may write to.")


@pytest.mark.parametrize(("free", "full"), [(0, True), (4096, True), (10**9, False)])
def test_a_full_disk(tmp_path, monkeypatch, free, full):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert disk.is_full(tmp_path) is full
