"""The evaluator: every measure has a reference value, responds to the faults it is for, and not to clean subjects."""

import weakref

import numpy as np
import pytest

from medsynth_lib.data.phantom import UNIFORM, simulate
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation.evaluator import Evaluator, equal_mix, responses, train_encoder, z_scores
from medsynth_lib.metrics.faults import faults


@pytest.fixture(scope="module")
def parts():
    """Phantom slices of training subjects, held-out ones, and others in place of a perfect generator's samples.

    Of the uniform phantom: among subjects of four scanners, with noise and blur of their own, 40 are too few to see the
    same small faults.
    """
    slices = simulate(150, image_size=32, slices_per_subject=4, seed=5, workers=2, how=UNIFORM)
    subjects = slices.unique_subjects()
    return [slices.of_subjects(subjects[a:b]) for a, b in ((0, 70), (70, 110), (110, 150))]


@pytest.fixture(scope="module")
def evaluator(parts, tmp_path_factory):
    encoder, _ = train_encoder(*parts[:2], tmp_path_factory.mktemp("encoder"), images=8_000, seed=0)
    return Evaluator(*parts[:2], encoder.embed)


@pytest.fixture(scope="module")
def table(evaluator, parts):
    return responses(evaluator, [parts[2]], faults(parts[0], share=0.1), seed=0)


def test_the_mix_holds_equally_many_subjects_of_both(parts):
    mix = equal_mix(*parts[:2], seed=0)
    shares = [np.isin(mix.unique_subjects(), part.unique_subjects()).sum() for part in parts[:2]]
    assert shares == [40, 40]


def test_a_subject_in_both_parts_is_refused(parts, evaluator):
    with pytest.raises(ValueError, match="in training and holdout"):
        Evaluator(parts[0], parts[0], evaluator.embed)


@pytest.mark.parametrize(
    ("fault", "measure", "grows"),
    [
        ("blur", "Frechet, wavelets", True),
        ("noise", "Frechet, wavelets", True),
        ("blur", "Frechet, radiomics", True),
        ("wrong anatomy", "Frechet, encoder", True),
        ("dropped mode", "lesion size", True),
        ("lesion sizes", "lesion size", True),
        ("copies, exact", "copies by correlation, %", True),
        ("copies, shift+gain", "copies by correlation, %", True),
        ("copies, rotation", "copies by cosine, %", True),
        ("copies, exact", "likelihood_gap", True),
        ("copies, exact", "distance_ratio", False),
    ],
)
def test_a_measure_answers_to_its_fault(table, fault, measure, grows):
    change = table["faults"][fault][measure][0] - table["clean"][measure][0]
    assert change > 0 if grows else change < 0


def test_noise_and_blur_move_no_lesion(table):
    for fault in ("blur", "noise"):
        assert table["faults"][fault]["lesion size"] == table["clean"]["lesion size"]
        assert table["faults"][fault]["lesion place"] == table["clean"]["lesion place"]


def test_the_report_has_a_floor_for_everything(evaluator, parts):
    found = evaluator.report(parts[2])
    assert all({"distance", "distance_floor", "mmd", "mmd_floor"} <= set(d) for d in found["distances"].values())
    assert found["diversity"]["ms_ssim"].keys() == {"synthetic", "real"}
    assert found["anatomy"]["synthetic"].keys() == found["anatomy"]["real"].keys()
    assert found["scores"]["synthetic"].keys() == found["scores"]["unseen_subjects"].keys()
    assert found["cosine"]["percent"] < 10 and found["correlation"]["plain"]["percent"] < 10


def test_z_scores_are_changes_in_deviations_of_the_clean_sets():
    found = {
        "clean": {"a": [1.0, 2.0, 3.0], "still": [5.0, 5.0, 5.0]},
        "faults": {
            "blur": {"a": [3.0, 4.0, 5.0], "still": [5.0, 5.0, 5.0]},
            "noise": {"a": [1.0, 2.0, 3.0], "still": [6.0, 6.0, 6.0]},
        },
    }
    assert z_scores(found) == {"blur": {"a": 2.0, "still": 0.0}, "noise": {"a": 0.0, "still": np.inf}}


def test_the_mix_is_averaged_down_and_holds_every_slice_of_its_people():
    """Of 128 pixels; no slice of a training subject who was not drawn."""
    rng = np.random.default_rng(0)

    def random_slices(n, name):
        images = rng.uniform(-1, 1, (3 * n, 1, 128, 128)).astype(np.float32)
        return SliceSet(images, [f"{name}{i // 3}" for i in range(3 * n)], channels=("x",))

    training, holdout = random_slices(5, "t"), random_slices(2, "h")
    mix = equal_mix(training, holdout, seed=0)
    chosen = [name for name in mix.unique_subjects() if name.startswith("t")]
    whole = np.concatenate([training.images[np.isin(training.subjects, chosen)], holdout.images])
    assert len(chosen) == 2 and np.array_equal(mix.images, whole.reshape(12, 1, 64, 2, 64, 2).mean((3, 5)))
    assert mix.subjects.tolist()[-6:] == holdout.subjects.tolist()


def test_one_faulty_set_is_held_at_a_time():
    """Each is as large as the data."""
    held = []

    class Counting:
        def measures(self, slices):
            return {"held": float(sum(copy() is not None for copy in held))}

    class Copy:
        """Stands in for a set of slices."""

    def plant(slices, rng):
        copy = Copy()
        held.append(weakref.ref(copy))
        return copy

    found = responses(Counting(), [None] * 4, {"fault": plant}, seed=0)
    assert max(found["faults"]["fault"]["held"]) <= 2
