"""The comparison's jobs: what each learns from, at equal budgets; results are read, and made again when stale."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth_lib.core import parallel as workers
from medsynth_lib.data import joint
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import PROFILES, SegmentationSizes
from medsynth_lib.models.registry import load
from medsynth_lib.models.segmentation.segmenter import Segmenter
from medsynth_lib.studies import segmentation as comparison
from medsynth_lib.studies import segmentation_plan as plan
from medsynth_lib.studies.segmentation import Sets, stages
from medsynth_lib.studies.segmentation_plan import Arm

SIZES = SegmentationSizes(
    *(8, 4, (4, 8), 1e-2, 1),
    plain=("edm",),
    studied="edm",
    subjects=(2, 4),
    own=(),
    amounts=(1, 3),
    amounts_at=(2,),
)


def discs(n: int, source: str, seed: int = 0, ground: float = -0.6) -> SliceSet:
    """Bright discs, two slices of each subject; `ground` tells real from synthetic."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    centre = rng.uniform(5, 11, (n, 2, 1, 1))
    labels = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 12).astype(np.uint8)
    images = np.where(labels, 0.6, ground)[:, None] + rng.normal(0, 0.02, (n, 1, 16, 16))
    return SliceSet(
        images=images.astype(np.float32),
        labels=labels,
        subjects=[f"{source}{i // 2}" for i in range(n)],
        channels=("x",),
        label_names=("background", "disc"),
        source=source,
    )


@pytest.fixture
def sets():
    made = {name: joint.to_slices(*shown(discs(20, name, k, -0.2)), discs(2, "m"), name) for k, name in kinds()}
    return Sets(
        discs(16, "real"),
        discs(6, "held"),
        {name: slices.select(np.arange(16)) for name, slices in made.items()},
        {name: slices.select(np.arange(16, 20)) for name, slices in made.items()},
    )


def kinds():
    return enumerate(("vae", "edm"), start=3)


def shown(slices):
    return slices.images, slices.labels


def sources(slices: SliceSet) -> Counter:
    return Counter(subject.rstrip("0123456789-") for subject in slices.subjects.tolist())


@pytest.mark.parametrize(
    ("arm", "learned_from", "chosen_by"),
    [
        (Arm(), [{"real": 16}], ["held"]),
        (Arm(0, ("edm",)), [{"edm": 16}], ["edm"]),
        (Arm(None, ("edm",)), [{"real": 16, "edm": 16}], ["held"]),
        (Arm(2, ("edm",)), [{"real": 16, "edm": 16}], ["held"]),
        (Arm(2, ("edm",), amount=3), [{"real": 4, "edm": 12}], ["held"]),
        (Arm(None, ("edm",), bridged=True), [{"edm": 16}, {"real": 16}], ["edm", "held"]),
        (Arm(None, ("edm", "vae")), [{"real": 16, "edm": 8, "vae": 8}], ["held"]),
    ],
)
def test_what_an_arm_learns_from(sets, arm, learned_from, chosen_by):
    found = stages(arm, sets, seed=0)
    counts = [sources(training) for training, _ in found]
    assert counts == learned_from
    assert [set(sources(validation)) for _, validation in found] == [{name} for name in chosen_by]
    for training, validation in found:
        assert set(training.subjects).isdisjoint(validation.subjects)


def test_few_subjects_are_the_same_with_and_without_synthetic_slices_and_are_among_more(sets):
    def subjects(arm, seed=0):
        return {s for s in stages(arm, sets, seed)[-1][0].subjects.tolist() if s.startswith("real")}

    two = subjects(Arm(2))
    assert len(two) == 2 and two == subjects(Arm(2, ("edm",))) < subjects(Arm(4))
    assert subjects(Arm(100)) == subjects(Arm()), "where there are fewer subjects, all of them"
    assert any(subjects(Arm(2), seed) != two for seed in range(1, 5)), "other repetitions draw other subjects"


def test_few_labels_for_training_mean_few_for_validation(sets):
    def validation(arm, **most):
        return [found for _, found in stages(arm, sets, seed=0, **most)][0]

    assert len(validation(Arm(2)).unique_subjects()) == 2 and len(validation(Arm(2))) == 4
    assert len(validation(Arm()).unique_subjects()) == 3 and len(validation(Arm(100))) == 6
    assert len(validation(Arm(), validation=3)) == 3


def test_every_arm_is_shown_equally_many_slices_and_half_of_them_real_where_both_are(sets, tmp_path, monkeypatch):
    """Counted where it happens: in the training step."""
    seen, step = Counter(), Segmenter.step

    def counted(self, batch, optimisers, fraction):
        dark = batch["images"].flatten(1).median(dim=1).values < -0.4
        seen["real"] += int(dark.sum())
        seen["synthetic"] += int((~dark).sum())
        return step(self, batch, optimisers, fraction)

    monkeypatch.setattr(Segmenter, "step", counted)
    test, shares = discs(4, "test", 9), {}
    for name, arm in plan.arms(SIZES, ["vae", "edm"]).items():
        seen.clear()
        found = comparison.train(replace(arm, augment=False), sets, test, SIZES, 0, tmp_path / name)
        assert sum(stage["images"] for stage in found["stages"]) == SIZES.steps * SIZES.batch_size * arm.effort, name
        if arm.relabelled:  # the segmenter that predicts the labels, on real slices, then the arm's own
            assert seen["real"] == seen["synthetic"] == found["labeller"]["images"] == SIZES.steps * SIZES.batch_size
            continue
        assert found["labeller"] is None and seen.total() == SIZES.steps * SIZES.batch_size * arm.effort, name
        shares[name] = seen["real"] / seen.total()
    assert shares["real"] == shares["real longer"] == shares["real2"] == 1
    assert shares["edm only"] == shares["all only"] == 0
    for name in ("real + edm", "real + all", "real2 + edm", "edm then real"):
        assert shares[name] == 0.5, name
    assert shares["real2 + 3 edm"] == 0.25


def test_a_relabelled_arm_learns_the_labels_that_a_segmenter_of_all_real_slices_predicts(sets, tmp_path, monkeypatch):
    seen = {}
    plain = comparison.fitted

    def recorded(training, sizes, seed, folder, **how):
        seen[folder.name] = training, how["validation"]
        return plain(training, sizes, seed, folder, **how)

    monkeypatch.setattr(comparison, "fitted", recorded)
    comparison.train(Arm(0, ("edm",), relabelled=True), sets, discs(4, "test", 9), SIZES, 0, tmp_path)
    assert sources(seen["labeller"][0]) == {"real": 16} and set(sources(seen["labeller"][1])) == {"held"}
    labeller = load(tmp_path / "labeller", "segmenter")
    for learned, generated in zip(
        seen["stage0"], (sets.synthetic["edm"], sets.synthetic_validation["edm"]), strict=True
    ):
        rows = [list(generated.subjects).index(name) for name in learned.subjects]
        predicted = labeller.predict(torch.from_numpy(np.array(learned.images))).numpy()
        assert np.array_equal(learned.labels, predicted)
        assert not np.array_equal(learned.labels, generated.labels[rows]), "they are not the generated ones"


def test_augmentation_is_left_out_of_plain_arms_only(sets, tmp_path, monkeypatch):
    called = Counter()
    monkeypatch.setattr(comparison, "augment", lambda batch: called.update(["augment"]) or batch)
    test = discs(4, "test", 9)
    comparison.train(Arm(augment=False), sets, test, SIZES, 0, tmp_path / "plain")
    assert not called
    comparison.train(Arm(), sets, test, SIZES, 0, tmp_path / "augmented")
    assert called["augment"] == SIZES.steps


def test_the_weights_that_do_best_on_the_validation_slices_are_kept(sets, tmp_path):
    """At a rate at which it falls apart, the chosen moment is not the last one, and does at least as well."""
    sizes = replace(SIZES, steps=100, learning_rate=0.3)
    found = comparison.train(Arm(), sets, discs(4, "test", 9), sizes, 0, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "stage0" / "monitor.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: (line["distance"], -line["images"]))
    assert found["record"]["images_of_published"] == best["images"]
    assert len(lines) == 10


def test_a_validation_subject_among_the_test_subjects_is_refused(sets, tmp_path):
    with pytest.raises(DataError, match="are in the validation set and in the test set"):
        comparison.train(Arm(), sets, discs(4, "held", 9), SIZES, 0, tmp_path)


# ---- jobs within a run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run at smoke size, on discs, whose two generators exist."""
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.delenv("MEDSYNTH_PROFILE", raising=False)
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: discs(80, "s"))
    # Other processes would not see what is replaced here; 06 at smoke size trains in them (test_notebooks.py).
    monkeypatch.setattr(workers, "side_by_side", lambda jobs: {name: job() for name, job in jobs.items()})
    small = replace(SIZES, compared=(), plain=(), studied="", validation_slices=4)
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], segmentation=small))
    run = runs.start("05_ddpm", "smoke", "phantom", 0)
    for name in ("vae", "edm"):
        write_generator(run, name)
    return run


def write_generator(run, name, seconds=1, seed=3):
    samples = joint.to_slices(*shown(discs(20, name, seed, -0.2)), run.part("gen_train"), name)
    samples.save(run.folder / name / "samples")
    run.register(run.folder / name, generator=name, training={"seconds": seconds})


def test_jobs_are_made_once_and_again_when_their_samples_change(run, capsys):
    first = comparison.results(run)
    assert {job.arm for job in first} == {"real", "vae only", "real + vae", "edm only", "real + edm"}
    assert "5 of 5 trainings are missing" in capsys.readouterr().out
    n = len(run.part("test").unique_subjects())
    for job, result in first.items():
        assert result["whole"].shape == result["hd95_mm"].shape == (n,) and result["per_label"].shape == (n, 1)
        assert comparison.predictions(result).shape == run.part("test").labels.shape
        assert {"run", "request", "training", "subjects", "tolerance_mm"} <= result.keys()
        again = comparison.segmenter(result).predict(torch.from_numpy(np.array(run.part("test").images)))
        assert np.array_equal(again, comparison.predictions(result))
        assert result["folder"] == run.root / job.path
    again = comparison.results(run)
    assert "missing" not in capsys.readouterr().out
    assert all(np.array_equal(again[job]["whole"], first[job]["whole"]) for job in first)

    write_generator(run, "edm", seconds=2)  # trained again, with the same samples
    comparison.results(run)
    assert "missing" not in capsys.readouterr().out
    write_generator(run, "edm", seconds=2, seed=4)
    comparison.results(run)
    assert "2 of 5 trainings are missing" in capsys.readouterr().out


def test_the_network_of_a_bridged_arm_is_the_fine_tuned_one(run, monkeypatch):
    sizes = replace(PROFILES["smoke"].segmentation, studied="edm", subjects=(), amounts_at=())
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], segmentation=sizes))
    assert comparison.main(["edm_then_real", "unet", "0", "--profile", "smoke", "--generators", "edm"]) == 0
    job = plan.Job("unet", "edm then real", 0)
    result = json.loads((run.root / job.path / "metrics.json").read_text()) | {"folder": run.root / job.path}
    again = comparison.segmenter(result).predict(torch.from_numpy(np.array(run.part("test").images)))
    assert np.array_equal(again, comparison.predictions(result))


def test_a_job_that_is_started_again_ends_at_once_until_its_samples_change(run, capsys, monkeypatch):
    """As Snakemake starts it after a notebook was executed again: done.json is gone, the result is there."""
    words = ["edm_only", "unet", "0", "--profile", "smoke", "--generators", "edm"]
    assert comparison.main(words) == 0
    path = run.root / "arms" / "unet" / "edm_only" / "0" / "metrics.json"
    before, done, train = path.read_bytes(), path.with_name("done.json"), comparison.train
    write_generator(run, "edm", seconds=2)
    done.unlink()
    monkeypatch.setattr(comparison, "train", lambda *_: pytest.fail("trained again"))
    assert comparison.main(words) == 0 and "is there already" in capsys.readouterr().out
    assert path.read_bytes() == before and done.is_file()

    monkeypatch.setattr(comparison, "train", lambda *_: (_ for _ in ()).throw(ValueError("planted")))
    write_generator(run, "edm", seed=4)
    done.unlink()
    assert comparison.main(words) == 1
    assert path.read_bytes() == before and not done.exists(), "the old result is kept, and the job is not done"
    monkeypatch.setattr(comparison, "train", train)
    assert comparison.main(words) == 0 and path.read_bytes() != before and done.is_file()
    monkeypatch.setattr(comparison, "code", lambda: "other code")
    assert comparison.main(words) == 0 and "is there already" not in capsys.readouterr().out


def test_the_command_line_takes_the_name_of_the_folder(run, capsys):
    words = ["--profile", "smoke", "--data", "phantom", "--seed", "0", "--generators", "vae edm"]
    assert comparison.main(["real_+_edm", "unet", "0", *words]) == 0
    comparison.results(run)
    assert "4 of 5 trainings are missing" in capsys.readouterr().out
    assert comparison.main(["real_+_gan", "unet", "0", *words]) == 1
    assert "unknown arm 'real_+_gan'; known in this run: real, " in capsys.readouterr().out
    assert comparison.main(["real", "vit", "0", *words]) == 1
    assert "unknown segmenter 'vit'" in capsys.readouterr().out


def test_an_arm_waits_only_for_its_own_generators(run, capsys):
    """As Snakemake calls it: the real arm before any generator is there, one generator's arm before another's."""
    for name in ("vae", "edm"):
        (run.folder / name / "metrics.json").rename(run.folder / name / "later.json")
    words = ["unet", "0", "--profile", "smoke", "--generators", "vae edm"]
    assert comparison.main(["real", *words]) == 0
    (run.folder / "edm" / "later.json").rename(run.folder / "edm" / "metrics.json")
    assert comparison.main(["edm_only", *words]) == 0
    assert comparison.main(["vae_only", *words]) == 1
    assert "holds no samples of 'vae'; known: edm. Train it first." in capsys.readouterr().out
    (run.folder / "vae" / "later.json").rename(run.folder / "vae" / "metrics.json")
    comparison.results(run)
    assert "3 of 5 trainings are missing" in capsys.readouterr().out


def test_values_that_are_missing_survive_the_file():
    values = np.array([[0.5, np.nan], [1.0, 0.0]])
    text = json.dumps(comparison.without_nan(values), allow_nan=False)
    assert np.array_equal(np.array(json.loads(text), dtype=float), values, equal_nan=True)
