"""The memorization sweep: who is in which training set, what a job writes, and that the DAG plans them all."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from medsynth_lib.core import parallel as workers
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import PROFILES
from medsynth_lib.studies import memorization as sweep
from medsynth_lib.studies.memorization_plan import GENERATORS, MITIGATIONS, THINNED, Case, case_of, cases

SMOKE = PROFILES["smoke"].memorization


def slices(n_subjects=24, each=8, size=16):
    rng = np.random.default_rng(0)
    subjects = np.repeat([f"p{i:02d}" for i in range(n_subjects)], each)
    images = rng.uniform(-1, 1, (len(subjects), 1, size, size)).astype(np.float32)
    return SliceSet(
        images,
        subjects,
        np.zeros((len(subjects), size, size), np.uint8),
        channels=("x",),
        label_names=("background", "lesion"),
    )


def test_the_plan_crosses_generators_subjects_and_repetitions():
    sizes = replace(SMOKE, subjects=(5, 20, 0), mitigated=20, seeds=2)
    planned = cases(sizes)
    assert len(planned) == len(set(planned)) == 2 * (len(GENERATORS) * 3 + len(MITIGATIONS))
    assert all(case_of(case.name, case.k) == case for case in planned)
    assert Case("edm", 0, "plain", 1).path == "memorization/edm-all-plain/1"


@pytest.mark.parametrize("name", ["vae-5-plain", "edm-x-plain", "edm-5-prayer", "edm"])
def test_unknown_cases_are_refused_with_the_known(name):
    with pytest.raises(ValueError, match="a generator of edm, dcgan"):
        case_of(name, 0)


def test_few_subjects_are_among_many_and_other_repetitions_draw_others():
    few, more = (sweep.training_set(slices(), Case("edm", n, "plain", 0), seed=1) for n in (3, 9))
    other = sweep.training_set(slices(), Case("edm", 3, "plain", 1), seed=2)
    assert len(few) == 24 and set(few.subjects) < set(more.subjects) and set(few.subjects) != set(other.subjects)
    assert len(sweep.training_set(slices(), Case("dcgan", 0, "plain", 0), seed=1)) == 24 * 8


def test_thinned_has_the_slices_of_few_and_the_subjects_of_many():
    plain, thinned = (
        sweep.training_set(slices(), Case("edm", 5, mitigation, 0), seed=1) for mitigation in ("plain", "thinned")
    )
    assert len(plain) == len(thinned) and len(set(thinned.subjects)) == THINNED * len(set(plain.subjects))
    with pytest.raises(DataError, match="asks for 28 subjects"):
        sweep.training_set(slices(), Case("edm", 7, "thinned", 0), seed=1)


def test_small_pictures_keep_their_masks():
    given = slices(2, 2, 16)
    given.labels[:, 4:8, 4:8] = 1
    found = sweep.small(given, 8)
    assert found.size == 8 and found.labels.shape == (4, 8, 8) and found.spacing == (2.0, 2.0)
    assert found.labels.sum() == given.labels.sum() / 4
    assert sweep.small(given, 16).size == 16


def test_pictures_that_cannot_be_divided_are_cut_with_their_masks():
    """45 pixels to at most 32: 22 blocks of two, and one row and one column too many."""
    given = slices(2, 2, 45)
    given.labels[:, 10:20, 30:40] = 1
    given.images[:] = given.labels[:, None]
    found = sweep.small(given, 32)
    assert found.images.shape == (4, 1, 22, 22) and found.labels.shape == (4, 22, 22)
    assert np.array_equal(found.labels, found.images[:, 0] > 0.5)


def test_a_job_writes_its_evaluations_and_is_read_until_something_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setenv("MEDSYNTH_THREADS", "1")
    tiny = replace(SMOKE, subjects=(3,), images=96, n_eval_samples=16)
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], memorization=tiny))
    case = Case("dcgan", 3, "plain", 0)
    assert sweep.main([case.name, "0", "--profile", "smoke"]) == 0
    path = tmp_path / "smoke" / "phantom" / "seed0" / case.path / "metrics.json"
    before = path.read_bytes()
    path.with_name("done.json").unlink()  # as Snakemake does before it starts the job again
    with monkeypatch.context() as patched:
        patched.setattr(sweep, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert sweep.main([case.name, "0", "--profile", "smoke"]) == 0
    assert path.read_bytes() == before and path.with_name("done.json").is_file()
    run = runs.start("10_memorization", "smoke")
    monkeypatch.setattr(sweep, "cases", lambda sizes: [case])
    monkeypatch.setattr(sweep, "measure", lambda *_: pytest.fail("it was there"))
    run.settings = replace(
        run.settings, memorization=replace(tiny, subjects=(3, 9), seeds=2)
    )  # more cases: this one stands
    found = sweep.results(run)[case]
    assert found["subjects"] == 3 and found["training"]["images"] == 96
    assert (
        len(found["evaluations"]) >= 5
        and {"smooth_percent", "plain_percent", "recall"} <= found["evaluations"][-1].keys()
    )
    drawn, real = sweep.nearest(found)
    assert drawn.shape == real.shape and 1 <= len(real) <= sweep.PAIRS and real.shape[1:] == (4, 32, 32)
    assert len(np.unique(real, axis=0)) == len(real), "different training slices"
    stored = json.loads((found["folder"] / "metrics.json").read_text())
    stored["request"]["code"] = "other"
    (found["folder"] / "metrics.json").write_text(json.dumps(stored))
    monkeypatch.setattr(workers, "side_by_side", lambda missing: None)
    assert sweep.results(run)[case] is None, "stale: it is made again (here: by nobody)"


def test_an_impossible_case_ends_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    assert sweep.main(["edm-11-thinned", "0", "--profile", "smoke"]) == 1
    assert "asks for 44 subjects" in capsys.readouterr().out


def test_every_training_is_a_job(tmp_path):
    environment = {**os.environ, "MEDSYNTH_RUNS": str(tmp_path)}
    words = [
        sys.executable,
        "-m",
        "medsynth_lib.course.reproduce",
        "--profile",
        "smoke",
        "--notebooks",
        "10",
        "--dry-run",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"memorization {len(cases(SMOKE))}" in " ".join(done.stdout.split())
