"""Generators on an arm's few subjects: whom they see, what they write, which copies their audit finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth_lib.core import parallel as workers
from medsynth_lib.data import joint
from medsynth_lib.data.augment import random_affine
from medsynth_lib.data.phantom import UNIFORM, simulate
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation.report import ReportError
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import PROFILES
from medsynth_lib.studies import own_generators, segmentation, segmentation_plan
from medsynth_lib.studies.arms import some_subjects

SMOKE = PROFILES["smoke"]


@pytest.fixture(scope="module")
def slices():
    return simulate(20, 32, 4, seed=2, how=UNIFORM)


@pytest.fixture
def run(tmp_path, monkeypatch, slices):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.delenv("MEDSYNTH_PROFILE", raising=False)
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: slices)
    monkeypatch.setattr(workers, "side_by_side", lambda jobs: {name: job() for name, job in jobs.items()})
    sizes = replace(SMOKE.segmentation, own=(3, 0), steps=4, other_seeds=2)
    monkeypatch.setitem(PROFILES, "smoke", replace(SMOKE, segmentation=sizes, synthetic=20))
    return runs.start("06_segmentation", "smoke", "phantom", 0)


def test_both_kinds_see_their_arms_subjects_and_nobody_else(run, monkeypatch, capsys):
    seen, fit = {}, own_generators.fit

    def watched(method, tensors, folder, **how):
        seen[folder.relative_to(run.root).as_posix()] = tensors["images"]
        return fit(method, tensors, folder, **how)

    monkeypatch.setattr(own_generators, "fit", watched)
    found = own_generators.results(run, ["edm"])
    assert {own.name for own in found} == {"edm3", "masks3", "masks"} and len(found) == len(seen) == 6
    train = run.part("gen_train")
    for own, metrics in found.items():
        real = some_subjects(train, own.subjects, run.seed_of(f"arm{own.k}"))
        arm = segmentation.stages(
            segmentation_plan.Arm(own.subjects),
            segmentation.Sets(train, run.part("holdout"), {}, {}),
            run.seed_of(f"arm{own.k}"),
        )
        assert torch.equal(seen[own.path], torch.from_numpy(np.array(real.images))), own
        assert set(real.subjects) == set(arm[0][0].subjects), "those of the segmenter that learns from its samples"
        assert metrics["subjects"] == len(real.unique_subjects())
        assert metrics["training"]["images"] == (64 if own.subjects else SMOKE.diffusion.images)
        samples = SliceSet.load(metrics["folder"] / "samples")
        assert len(samples) == 20 and samples.label_names == train.label_names
        assert set(metrics["copies"]) == {"smooth", "plain"}
    assert not np.array_equal(seen["own/edm3/0"], seen["own/edm3/1"]), "another repetition, other subjects"
    capsys.readouterr()
    own_generators.results(run, ["edm"])
    assert "missing" not in capsys.readouterr().out
    assert own_generators.results(run, ["vae"]) == {}
    longer = replace(run.settings.segmentation, own_images=128)
    own, data = next(iter(found)), run.data_hashes()
    asked = [
        own_generators.request(own, replace(run.settings, segmentation=s), data)
        for s in (run.settings.segmentation, longer)
    ]
    assert asked[0] == found[own]["request"] != asked[1], "with other sizes it is stale"


def test_an_arm_says_which_of_its_generators_is_missing_and_then_learns_from_it(run, capsys):
    words = ["0", "--profile", "smoke", "--generators", "edm"]
    assert segmentation.main(["masks3_only", "unet", *words]) == 1
    assert (
        "own/masks3/0 was not trained yet; run medsynth_lib.studies.own_generators masks3 0" in capsys.readouterr().out
    )
    assert own_generators.main(["masks3", "0", "--profile", "smoke"]) == 0
    assert segmentation.main(["masks3_only", "unet", *words]) == 0
    assert segmentation.main(["real3_+_masks3", "unet", *words]) == 0
    assert own_generators.main(["masks4", "0", "--profile", "smoke"]) == 1
    assert "unknown generator 'masks4'; known in this profile: edm3, masks3, masks." in capsys.readouterr().out
    with pytest.raises(ReportError, match="own/edm3/0 was not trained yet"):
        own_generators.found(run, own_generators.of(run, 0)["edm3"])


def test_the_audit_finds_turned_copies_and_clears_other_subjects(slices):
    names = slices.unique_subjects()
    real, holdout, others = (slices.of_subjects(part) for part in (names[:3], names[3:12], names[12:]))
    torch.manual_seed(5)
    turned = random_affine(joint.tensors_of(real))
    planted = joint.to_slices(turned["images"], turned["labels"], real, "planted")
    found = {
        name: own_generators.audit(part, real, holdout, 0) for name, part in (("copies", planted), ("new", others))
    }
    assert found["copies"]["smooth"]["percent"] > 60
    assert found["new"]["smooth"]["percent"] < 15


def test_masks_first_edits_all_training_masks_equally_often_with_their_intensities_and_repeats_with_the_seed():
    class Painter:
        def translate(self, labels, seed, means):
            return torch.gather(means[..., 0], 1, labels.flatten(1).long()).view(len(labels), 1, 32, 32) + seed

    labels = torch.zeros(3, 32, 32, dtype=torch.uint8)
    labels[0, 12:20, 12:20], labels[1, 10:22, 14:18] = 1, 2  # the third has no lesion
    means = torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.25], [0.125, 0.0, 0.0]])[..., None]
    made = own_generators.MasksFirst(Painter(), labels, means)
    images, masks = made.sample(60, seed=3)
    assert [int((masks == k).flatten(1).any(1).sum()) for k in (1, 2)] == [20, 20]
    with_one = (masks == 1).flatten(1).any(1)
    sizes = (masks == 1).flatten(1).sum(1)[with_one]
    assert 64 * 0.75 < sizes.min() < sizes.max() < 64 * 1.3, "the lesion is scaled by .9 to 1.1"
    assert len({tuple(mask.flatten().tolist()) for mask in masks[with_one]}) > 15
    assert (images[:, 0][masks == 1] == 3.5).all() and (images[:, 0][masks == 2] == 3.25).all()
    assert (images[~(masks > 0).flatten(1).any(1)] == 3.125).all(), "each mask has the intensities of its own slice"
    again = made.sample(60, seed=3)[1]
    assert torch.equal(masks, again) and not torch.equal(masks, made.sample(60, seed=4)[1])
