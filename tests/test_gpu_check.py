"""The check of a GPU, as a user runs it, at smoke size on the CPU; and what it says where there is none."""

import json

import gpu_check
import pytest
import torch
from methods import METHODS


def test_without_a_gpu_it_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().out == (
        "No GPU was found here; `make gpu-check DEVICE=cpu` runs the same at smoke size.\n"
    )


def test_on_the_cpu_every_part_is_measured_and_written(tmp_path, capsys):
    assert gpu_check.main(["--device", "cpu", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "check.json").read_text())
    assert set(found["works"]) == set(METHODS) and all(row["ok"] for row in found["works"].values())
    for name in ("stylegan2", "edm", "unet", "cyclegan"):
        row = found["pays"][name]
        assert all(row[key] > 0 for key in ("default", "default bare", "fp32", "fp32 bare"))
        assert row["of bare"] == pytest.approx(row["default"] / row["default bare"], abs=0.01)
    assert set(found["loops"]["images/s"]) == {"floor", "fit", "diffusers", "MONAI"}
    for name in ("gpu profile", "demo's recipe"):
        assert {"seconds", "images", "samples/s", "mean Dice", "of real"} <= found["useful"][name].keys()
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {name} |" in table for name in METHODS) and (tmp_path / "samples.png").stat().st_size > 5_000


def test_a_method_that_fails_is_a_row_and_the_check_goes_on(tmp_path, monkeypatch, capsys):
    def broken():
        raise RuntimeError("planted")

    monkeypatch.setattr(gpu_check, "METHODS", {"broken": broken, "vae": METHODS["vae"]})
    check = gpu_check.Check("cpu", tmp_path)
    check.works()
    rows = json.loads((tmp_path / "check.json").read_text())["works"]
    assert rows["broken"] == {"ok": False, "error": "RuntimeError: planted"} and rows["vae"]["ok"]


def test_a_precision_that_is_not_the_declared_one_is_noticed(tmp_path):
    check = gpu_check.Check("cpu", tmp_path)
    assert check.as_declared(METHODS["vae"](), {torch.float32})
    assert not check.as_declared(METHODS["vae"](), {torch.float32, torch.bfloat16})
