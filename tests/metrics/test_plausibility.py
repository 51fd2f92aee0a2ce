"""Empty and impossible masks are counted, beside the real share."""

import numpy as np

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics.plausibility import mask_report


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
