"""Tests need no network, show no progress bars, leave cores to whoever else works here, and run on the CPU everywhere.

What a GPU does is looked at by `make gpu-check`; here it would only change last digits.
"""

import os
from pathlib import Path

import pytest

os.environ["MEDSYNTH_HEADLESS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; several test processes share the cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent


# The longest first, so that they do not run alone in the end.
LONG = (
    *("test_dag", "test_notebooks_on_device", "test_notebooks", "test_every_method", "test_two_processes"),
    *("test_resume", "test_gpu_check"),
)


def pytest_collection_modifyitems(items) -> None:
    order = {name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def offline(monkeypatch) -> dict[str, str]:
    """An environment for child processes in which no socket reaches beyond this machine."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("offline")))
    for name in ("MEDSYNTH_PROFILE", "MEDSYNTH_RUNS", "MEDSYNTH_DATA"):
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)
