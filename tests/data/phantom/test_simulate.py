"""Simulated sets: the same for a seed, labels where they belong, classes and facts that say the truth."""

from dataclasses import replace

import numpy as np
import pytest

from medsynth_lib.data.phantom import UNIFORM, VARIED, simulate, simulate_subject
from medsynth_lib.data.phantom.subject import CLASS_NAMES, parts_of
from medsynth_lib.data.slices import DataError


@pytest.fixture(scope="module", params=["varied", "uniform"])
def slices(request):
    return simulate(8, 64, 6, seed=3, how=VARIED if request.param == "varied" else UNIFORM)


def test_same_seed_same_bytes_for_any_number_of_workers_and_subjects():
    one = simulate(3, 32, 3, seed=5, workers=1, how=VARIED)
    assert one.hash() == simulate(3, 32, 3, seed=5, workers=2, how=VARIED).hash()
    assert one.hash() != simulate(3, 32, 3, seed=6, how=VARIED).hash()
    alone = simulate_subject(2, 32, 3, seed=5, how=VARIED)
    assert np.array_equal(alone["images"], one.images[6:]) and np.array_equal(alone["labels"], one.labels[6:])
    assert alone["facts"] == one.facts["phantom-00002"]


def test_labels_lie_inside_the_brain_and_all_occur(slices):
    brain = (slices.images > -1).any(axis=1)
    assert brain[slices.labels > 0].mean() > 0.999
    assert set(np.unique(slices.labels)) == {0, 1, 2, 3}
    empty = (slices.labels == 0).all(axis=(1, 2)).mean()
    assert 0 < empty < 0.6, "most slices show lesion, some do not"


def test_labels_look_as_they_should():
    """Medians over all pixels: bright rim on T1ce, bright oedema on FLAIR, each against the healthy brain."""
    slices = simulate(6, 64, 6, seed=3, how=UNIFORM)
    brain = (slices.images > -1).any(axis=1)
    healthy = brain & (slices.labels == 0)
    t1ce, flair = slices.images[:, 1], slices.images[:, 3]
    assert np.median(t1ce[slices.labels == 3]) > np.median(t1ce[healthy]) + 0.15
    assert np.median(flair[slices.labels == 2]) > np.median(flair[healthy]) + 0.3
    # The brightest 3 % of the healthy brain on T2 are CSF: FLAIR turns them dark.
    t2 = slices.images[:, 2]
    csf = healthy & (t2 > np.quantile(t2[healthy], 0.97))
    assert np.median(flair[csf]) < np.median(flair[healthy]) - 0.2


def test_levels_ascend_and_background_is_exactly_black(slices):
    for subject in slices.unique_subjects():
        assert (np.diff(slices.levels[slices.subjects == subject]) > 0).all()
    assert (slices.images[:, :, 0, 0] == -1).all()


def test_classes_and_labels_say_the_same(slices):
    """The class of a slice is the kind of its subject's lesion if it shows one; labels are those of the kind."""
    assert slices.class_names == CLASS_NAMES
    shows = (slices.labels > 0).any(axis=(1, 2))
    assert np.array_equal(slices.classes > 0, shows)
    for subject, facts in slices.facts.items():
        own = slices.subjects == subject
        assert set(slices.classes[own & shows]) <= {CLASS_NAMES.index(facts["kind"])}
        found = set(np.unique(slices.labels[own])) - {0}
        assert found <= {"solid enhancing": {2, 3}, "non-enhancing": {1, 2}, "no lesion": set()}.get(
            facts["kind"], {1, 2, 3}
        )
        assert (facts["core_ml"] > 0) == (facts["foci"] > 0) == (facts["kind"] != "no lesion")


def test_hyperintensities_are_bright_and_not_labelled():
    """Without lesions, with and without hyperintensities: more of FLAIR is brighter than grey matter; no label."""

    def bright(how):
        made = [simulate_subject(k, 64, 6, 0, how) for k in range(4)]
        assert not any(subject["labels"].any() for subject in made)
        flair = [subject["images"][:, 3] for subject in made]
        return np.mean([x > np.median(x[x > -1]) + 0.5 for x in flair])

    calm = replace(UNIFORM, kinds={})
    assert bright(replace(calm, hyperintensities=(6.0, 0.0))) > 1.5 * bright(calm)


def test_vessels_stay_out_of_the_ventricles():
    """Deep CSF holds no vessels, which would be bright after contrast agent; sulci do."""
    size, pixel = 64, 3.0
    grey = np.zeros((2, size, size), np.float32)
    white = np.ones_like(grey)
    white[:, 26:38, 26:38] = white[:, 4:6] = 0  # a ventricle, more than 20 mm below the surface, and a sulcus
    mask = np.ones(grey.shape, bool)
    mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    nowhere = np.full((3, *grey.shape), -50, np.float32)
    parts = parts_of(np.random.default_rng(0), grey, white, mask, nowhere, pixel)
    assert parts["vessel"][:, 27:37, 27:37].max() == 0 < parts["vessel"][:, 4:6].max()
    assert np.allclose(sum(parts.values()), 1)


def test_the_card_says_how_the_data_were_made(slices):
    assert "log-normal, median 15 mm" in slices.processing["lesion size"]
    varied = slices.source == "phantom"
    assert ("6 % of subjects without" in slices.processing["lesions"]) == varied
    assert (
        ("1.5 T" in slices.processing["scanners"]) == varied == (len(set(f["site"] for f in slices.facts.values())) > 1)
    )


@pytest.mark.parametrize("arguments", [(-1, 64, 8), (2, 8, 4), (2, 64, -2)])
def test_impossible_requests_are_refused(arguments):
    with pytest.raises(DataError, match="phantom: .* cannot be made; ask for at least 1 subject"):
        simulate(*arguments)
