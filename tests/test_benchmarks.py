"""The benchmarks run, and count the same images and seconds for everybody."""

import importlib.util

import pytest


def benchmark(root, name):
    spec = importlib.util.spec_from_file_location(name, root / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_four_loops_are_timed_in_turn(root, monkeypatch):
    bench = benchmark(root, "training_loop")
    monkeypatch.setattr(bench, "WIDTHS", (8, 16))
    found = bench.measure(size=16, batch=2, steps=2, rounds=2)
    assert set(found["images_per_second"]) == {"floor", "fit", "diffusers", "MONAI"}
    assert all(value > 0 for value in found["images_per_second"].values())
    assert found["of_floor"]["floor"] == pytest.approx(1)


def test_both_recipes_get_their_seconds(root, monkeypatch, tmp_path):
    bench = benchmark(root, "time_to_quality")
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setattr(bench, "LOOKS", 8)
    monkeypatch.setattr(bench, "TRIAL", 4)
    monkeypatch.setattr(bench, "THOUSAND", 12)
    ours, theirs = (bench.race(recipe, 0, 0.1, 0.5, "smoke") for recipe in ("ours", "tutorial"))
    assert 1 < ours["seconds"] < 9 and 2 < theirs["seconds"] < 18, "3 and 6 seconds asked; a trial run is a guess"
    assert len(ours["curve"]["seconds"]) == len(ours["curve"]["distance"]) > 3
    assert ours["default"]["distance"] == ours["distance"] > 0 and ours["thousand"]["images_per_second"] > 0
