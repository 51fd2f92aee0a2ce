"""The benchmarks run, and count the same images and seconds for everybody."""

import importlib.util
import json

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
    monkeypatch.setattr(bench, "N_EVAL_SAMPLES", 8)
    monkeypatch.setattr(bench, "TRIAL", 4)
    monkeypatch.setattr(bench, "THOUSAND", 12)
    ours, theirs = (bench.train_and_evaluate(recipe, 0, 0.1, 0.5, "smoke") for recipe in ("ours", "tutorial"))
    assert 1 < ours["seconds"] < 9 and 2 < theirs["seconds"] < 18, "3 and 6 seconds asked; a trial run is a guess"
    assert len(ours["curve"]["seconds"]) == len(ours["curve"]["distance"]) > 3
    assert ours["default"]["distance"] == ours["distance"] > 0 and ours["thousand"]["images_per_second"] > 0


def test_the_race_leaves_a_finished_run_alone(root, monkeypatch, tmp_path):
    """As `make bench` calls it, beside a finished run whose data another version of the code would make anew."""
    bench = benchmark(root, "time_to_quality")
    for name, value in {"N_EVAL_SAMPLES": 8, "TRIAL": 2, "THOUSAND": 4}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(
        bench.ms, "side_by_side", lambda jobs: {name: job() for name, job in jobs.items()}, raising=False
    )
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    finished = tmp_path / "smoke" / "phantom" / "seed0"
    for name in ("00_data/request.json", "00_data/slices/dataset.json", "05_ddpm/metrics.json", "05_ddpm/done.json"):
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    words = ["--profile", "smoke", "--seeds", "1", "--minutes", "0.02", "--share", "0.5"]
    bench.main([*words, "--out", str(tmp_path / "out.json")])
    assert set(json.loads((tmp_path / "out.json").read_text())["found"]) == {"tutorial 0", "ours 0"}
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert (tmp_path / "benchmarks" / "smoke").is_dir()
