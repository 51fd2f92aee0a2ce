"""The report: complete records, stale results refused, a table a terminal can show."""

import json
from dataclasses import replace

import pytest

from medsynth_lib.evaluation import report
from medsynth_lib.experiment import finished
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import PROFILES, DataSizes


def interval(mean):
    return {"mean": mean, "ci95": [mean - 0.01, mean + 0.01], "n": 5}


METRICS = {
    "generator": "vae",
    "training": {
        "parameters": 1234567,
        "code": "abc",
        "images": 1000,
        "unique_images": 10,
        "seconds": 61.5,
        "device": "cpu",
        "threads": 1,
    },
    "sampling": {"samples": 5, "sample_images_per_second": 321.0},
    "masks": {},
}
DICE = {name: interval(0.8) for name in report.DICE} | {"labels_fit_ratio": 0.9}
AUDIT = {"percent": 1.5, "ci95": [0.4, 3.1]}
EVALUATION = {
    "distances": {space: {"distance": 4.0, "distance_floor": 2.0} for space in ("wavelets", "radiomics", "encoder")},
    "diversity": {"synthetic": {"coverage": 0.3}, "real": {"coverage": 0.6}},
    "anatomy": {},
    "subgroups": {},
    "correlation": {"smooth": AUDIT, "plain": AUDIT, "expected_percent": 1.0},
    "cosine": AUDIT,
    "scores": {},
}
ATTACKS = {
    "distance": {"auc": 0.52, "auc_ci95": [0.45, 0.6], "control_auc_95": [0.4, 0.6]},
    "density": {"auc": 0.61, "auc_ci95": [0.5, 0.7], "control_auc_95": [0.42, 0.59]},
}
CONTROLS = {"planted_copies_found_percent": {"exact": 100.0}, "negative_control_percent": 1.2}


def record_of(dice=DICE):
    return report.generator_record(METRICS, dice, EVALUATION, ATTACKS, CONTROLS)


def test_a_record_holds_what_the_report_promises():
    record = record_of()
    promised = {key for _, key, _ in report.COLUMNS} | {"train_images"}
    assert promised <= record.keys()
    assert record["times_floor_radiomics"] == 2 and record["coverage_ratio"] == 0.5
    assert record["membership_auc"]["mean"] == 0.61 and record["membership_control"] == [0.42, 0.59]


def test_data_without_masks_leave_dice_open():
    record = record_of(dice=None)
    assert record["dice_ratio"] is None
    assert "| - |" in report.markdown_table([record])


def test_table_prints_intervals(tmp_path, capsys):
    records = [record_of()]
    run = {"profile": "smoke", "data": "phantom", "seed": 0}
    (tmp_path / "report.json").write_text(json.dumps({"run": run, "generators": records}))
    report.print_table(tmp_path)
    text = capsys.readouterr().out
    assert "0.800 [0.790, 0.810]" in text and "1,234,567" in text and "smoke / phantom / seed 0" in text


def test_a_missing_report_says_what_to_run(tmp_path):
    with pytest.raises(report.ReportError, match="make reproduce"):
        report.print_table(tmp_path)


def test_generators_are_found_one_or_two_folders_deep_and_old_ones_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], data=DataSizes(16, 5, 1, 5)))
    run = runs.start("03_stylegan", "smoke")
    with pytest.raises(report.ReportError, match="holds no trained generator"):
        report.trained_generators(run)
    runs.start("01_vae", "smoke").finish(generator="vae")
    run.register(run.folder / "stylegan2", generator="stylegan2")
    run.finish(table=[])
    found = report.trained_generators(run)
    assert found.keys() == {"vae", "stylegan2"} and found["stylegan2"]["folder"] == run.folder / "stylegan2"
    record = json.loads((run.folder / "stylegan2" / "metrics.json").read_text())
    record["run"]["data_hash"] = "other"
    (run.folder / "stylegan2" / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(report.ReportError, match="made from other data"):
        report.trained_generators(run)


def test_a_result_beside_other_samples_or_weights_is_refused(tmp_path, monkeypatch):
    """A run that trained or sampled again and did not finish leaves the old metrics.json beside new files."""
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], data=DataSizes(16, 5, 1, 5)))
    run = runs.start("02_dcgan", "smoke")
    samples, other = run.part("gen_train"), run.part("holdout")
    samples.save(run.folder / "samples")
    (run.folder / "config.json").write_text('{"key": "one"}')
    run.finish(generator="dcgan")
    assert report.trained_generators(run)["dcgan"]["describes"] == {
        "samples_hash": samples.hash(),
        "weights_key": "one",
    }
    other.save(run.folder / "samples")
    assert not finished.is_done(run.folder)
    with pytest.raises(report.ReportError, match="trained or sampled again by a run that did not finish"):
        report.trained_generators(run)
    samples.save(run.folder / "samples")
    assert report.trained_generators(run) and finished.is_done(run.folder)
    (run.folder / "config.json").write_text('{"key": "two"}')
    with pytest.raises(report.ReportError, match="trained or sampled again"):
        report.trained_generators(run, ("dcgan",))


def test_a_notebook_of_other_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], data=DataSizes(16, 5, 1, 5)))
    run = runs.start("06_segmentation", "smoke")
    with pytest.raises(report.ReportError, match="run 06_segmentation first"):
        report.notebook_metrics(run, "06_segmentation")
    run.finish(dice=1)
    assert report.notebook_metrics(run, "06_segmentation")["dice"] == 1
    run.part("test").save(run.path("00_data") / "slices")
    with pytest.raises(report.ReportError, match="made from other data"):
        report.notebook_metrics(run, "06_segmentation")
