"""Tests need no network, show no progress bars and leave two cores to whoever else works here."""

import os
import sys
from pathlib import Path

import pytest

os.environ["MEDSYNTH_HEADLESS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))  # methods.py: every method as small as can be


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
