"""The plan of the comparison: which arms, how often, and what adding a generator adds."""

from dataclasses import replace

import pytest

from medsynth_lib.experiment.profiles import PROFILES, SegmentationSizes
from medsynth_lib.studies.segmentation_plan import (
    Arm,
    Job,
    arms,
    check,
    held_bytes,
    jobs,
    own_generators,
    slice_bytes,
    uses,
)

SIZES = SegmentationSizes(10, 4, (8, 16), 1e-2, 2)


def test_each_generator_stands_alone_and_with_real():
    assert arms(SIZES, ["vae", "edm"]) == {
        "real": Arm(),
        "vae only": Arm(0, ("vae",)),
        "real + vae": Arm(None, ("vae",)),
        "edm only": Arm(0, ("edm",)),
        "real + edm": Arm(None, ("edm",)),
    }


def test_adding_a_generator_adds_its_arms():
    before, after = (set(jobs(SIZES, names)) for names in (["vae"], ["vae", "new"]))
    assert before < after and {job.arm for job in after - before} == {"new only", "real + new"}


def test_the_paper_is_planned_whole():
    """Akbar et al.: {real, 5 generators} x {alone, with real} x {without, with augmentation} = 22 arms, 10 seeds."""
    paper = PROFILES["paper"].segmentation
    everything = ["vae", "dcgan", "progan", "stylegan1", "stylegan2", "stylegan3", "latent_diffusion", "edm"]
    known = arms(paper, everything)
    assert len(known) == 22 and sum(arm.augment for arm in known.values()) == 11
    assert sum(job.segmenter == "swin" for job in jobs(paper, everything)) == 220
    assert paper.steps * paper.batch_size == pytest.approx(3.2e7, rel=1e-3)


def test_the_study_of_one_generator():
    known = arms(PROFILES["demo"].segmentation, ["vae", "edm"])
    assert known["real9 + 3 edm"] == Arm(9, ("edm",), amount=3)
    assert known["edm then real"].bridged and known["edm then real9"].subjects == 9
    assert known["real longer"].effort == 2
    assert known["real + all"].synthetic == ("edm", "vae")
    assert not known["edm only plain"].augment and "vae only plain" not in known
    of_45 = [name for name in known if name.startswith("real45")]
    assert of_45 == ["real45", "real45 plain", "real45 + edm", "real45 + masks"]


def test_generators_on_few_subjects_are_trained_once_per_repetition_and_have_arms():
    sizes = replace(PROFILES["demo"].segmentation, own=(9, 0), other_seeds=2)
    planned = own_generators(sizes, ["vae", "edm"])
    assert [(own.name, own.subjects) for own in planned if own.k == 0] == [("edm9", 9), ("masks9", 9), ("masks", None)]
    assert {own.k for own in planned} == {0, 1} and planned[0].path == "own/edm9/0"
    known = arms(sizes, ["vae", "edm"])
    assert known["edm9 only"] == Arm(0, ("edm9",)) and known["real9 + masks9"] == Arm(9, ("masks9",))
    assert known["masks only"] == Arm(0, ("masks",)) and known["real + masks"] == Arm(None, ("masks",))
    again = {name: arm for name, arm in known.items() if arm.relabelled}
    assert again == {f"{one} relabelled only": Arm(0, (one,), relabelled=True) for one in ("edm", "masks")}
    assert own_generators(sizes, ["vae"]) == []


def test_uses_are_arms_of_the_plan_at_every_number_of_subjects():
    sizes = replace(PROFILES["demo"].segmentation, subjects=(3, 9), own=(3, 9, 0))
    known = arms(sizes, ["edm"])
    for n in (3, 9):
        assert all(arm in known for arm in uses(sizes, n).values())
        assert {known[arm].subjects for arm in uses(sizes, n).values()} == {0, n}
    assert all(arm in known for arm in uses(sizes, 0).values())
    for n in (0, 9):
        assert len(set(uses(sizes, n).values())) == len(uses(sizes, n)), "no arm is tested twice"


def test_without_the_studied_generator_nothing_is_studied():
    assert set(arms(PROFILES["demo"].segmentation, ["vae"])) == {"real", "real plain", "vae only", "real + vae"}


def test_every_folder_is_another():
    for profile in PROFILES.values():
        planned = jobs(profile.segmentation, ["vae", "latent_diffusion", "edm"])
        assert len({job.path for job in planned}) == len(planned)
    assert Job("unet", "real9 + 3 edm", 1).path == "arms/unet/real9_+_3_edm/1"


def test_segmenters_are_checked_by_name_and_size():
    check(["unet", "dynunet"], 32)
    check(["swin"], 64)
    with pytest.raises(ValueError, match="unknown segmenter 'vit'; known segmenters: unet, dynunet, swin"):
        check(["vit"], 64)
    for size in (32, 72):
        with pytest.raises(ValueError, match=f"images of {size} pixels do not fit the Swin"):
            check(["swin"], size)


def test_bytes_of_the_papers_slices():
    """256 x 256 x (4 fp32 channels + 1 label byte) each; 80 % of 100,000 synthetic ones and as many real ones."""
    assert slice_bytes(PROFILES["paper"]) == 256 * 256 * 17
    assert held_bytes(PROFILES["paper"]) == 160_000 * 256 * 256 * 17
