"""The benchmark runs, and counts the same images for every loop."""

import importlib.util

import pytest


def test_four_loops_are_timed_in_turn(root, monkeypatch):
    spec = importlib.util.spec_from_file_location("training_loop", root / "benchmarks" / "training_loop.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    monkeypatch.setattr(bench, "WIDTHS", (8, 16))
    found = bench.measure(size=16, batch=2, steps=2, rounds=2)
    assert set(found["images_per_second"]) == {"floor", "fit", "diffusers", "MONAI"}
    assert all(value > 0 for value in found["images_per_second"].values())
    assert found["of_floor"]["floor"] == pytest.approx(1)
