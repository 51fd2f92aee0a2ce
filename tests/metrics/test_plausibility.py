"""Empty and impossible masks are counted, beside the real share."""

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics.plausibility import limits, mask_report, measures


def masks(labels) -> SliceSet:
    y, x = np.mgrid[:24, :24]
    head = np.where((y - 12) ** 2 + (x - 12) ** 2 < 100, 0.2, -1).astype(np.float32)
    return SliceSet(
        images=np.broadcast_to(head, (len(labels), 1, 24, 24)).copy(),
        labels=np.asarray(labels, np.uint8),
        subjects=[str(i) for i in range(len(labels))],
        channels=("x",),
        label_names=("background", "lesion"),
        source="made",
    )


def squares(n, seed):
    rng = np.random.default_rng(seed)
    out = np.zeros((n, 24, 24), np.uint8)
    for mask in out:
        y, x = rng.integers(6, 14, 2)
        mask[y : y + 4, x : x + 4] = 1
    return out


def test_empty_outside_fragmented_and_too_large_masks_are_told_apart():
    real, unseen = masks(squares(40, 0)), masks(squares(40, 1))
    bad = squares(5, 2)
    bad[0] = 0  # empty
    bad[1, :3, :3] = 1  # a second piece, outside the head
    bad[2, 6:20, 6:20] = 1  # far too large
    report = mask_report(masks(bad), real, unseen)
    assert report["empty_percent"] == 20 and report["impossible_percent"] == 50
    assert report["empty_percent_real"] == 0 and report["impossible_percent_real"] == 0


def test_a_set_without_masks_has_nothing_to_report():
    plain = SliceSet(images=np.zeros((3, 1, 8, 8), np.float32), subjects=list("abc"), channels=("x",))
    assert mask_report(plain, plain, plain) == {}


def tumours(n, seed, rim_away=False) -> SliceSet:
    """A core within a rim within oedema; `rim_away` puts the rim beside the lesion."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, 24, 24), np.uint8)
    for mask in labels:
        y, x = rng.integers(6, 10, 2)
        mask[y : y + 8, x : x + 8] = 2
        mask[y + 2 : y + 6, x + 2 : x + 6] = 2 if rim_away else 3
        mask[y + 3 : y + 5, x + 3 : x + 5] = 1
        if rim_away:
            mask[y + 8 : y + 10, x : x + 8] = 3
    plain = masks(np.zeros((n, 24, 24)))
    names = ("background", "core", "oedema", "rim")
    return SliceSet(
        images=plain.images, labels=labels, subjects=plain.subjects, channels=("x",), label_names=names, source="made"
    )


def test_a_label_where_it_never_is_in_real_masks_is_found_and_named():
    report = mask_report(tumours(20, 2, rim_away=True), tumours(60, 0), tumours(40, 1))
    assert report["impossible_percent"] == 100 and report["impossible_percent_real"] == 0
    assert {"rim touching background", "core touching oedema"} <= set(report["reasons"])
    assert (report["masks"], report["masks_real"]) == (20, 40)


def test_contacts_and_shares_by_hand():
    found, names = measures(tumours(1, 0))
    row = dict(zip(names, found[0], strict=True))
    assert row["pieces of core"] == row["pieces of the lesion"] == 1
    assert row["share of core"] == 4 / 64 and row["core touching rim"] == 1 and row["core touching background"] == 0
    assert row["rim touching core"] == 8 / 24 and row["oedema touching background"] == 32 / 48
    assert row["area of the lesion"] == 64 / 576


def test_stacked_counting_equals_slice_by_slice():
    rng = np.random.default_rng(0)
    labels = (rng.random((15, 24, 24)) > 0.8).astype(np.uint8)
    labels[3] = 0
    images = rng.uniform(-1, -0.8, (15, 1, 24, 24)).astype(np.float32)
    slices = SliceSet(
        images=images,
        labels=labels,
        subjects=[str(i) for i in range(15)],
        channels=("x",),
        label_names=("background", "lesion"),
    )
    found, _ = measures(slices)
    kept = [i for i in range(15) if i != 3]
    assert np.array_equal(found[:, 0], [label(labels[i], np.ones((3, 3)))[1] for i in kept])
    outside = [~binary_fill_holes(images[i, 0] > -0.9) for i in kept]
    expected = [(labels[i] > 0)[o].sum() / labels[i].sum() for i, o in zip(kept, outside, strict=True)]
    assert np.allclose(found[:, 2], expected)


def test_many_measures_together_reject_no_more_than_one_percent():
    rng = np.random.default_rng(1)
    found = rng.normal(0, 1, (2000, 20))
    rejected = (found > limits(found)).any(1).mean()
    assert 0.005 < rejected <= 0.0101
    assert (found > np.quantile(found, 0.99, axis=0)).any(1).mean() > 0.1  # what a limit for each alone would do


def test_only_empty_masks():
    nothing, real = masks(np.zeros((4, 24, 24))), masks(squares(30, 0))
    report = mask_report(nothing, real, real)
    assert report["empty_percent"] == 100 and report["impossible_percent"] is None and report["masks"] == 0
    assert mask_report(real, nothing, real) == {}
