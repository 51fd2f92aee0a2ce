"""Unpaired domains: different subjects, and intensity inversion."""

import numpy as np
import pytest
import torch

from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.data.unpaired import halves, of_channels, unpaired, with_intensity_inversion


def subject_slices(names, size=8):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (len(names), 2, size, size)).astype(np.float32)
    return SliceSet(images=images, subjects=np.array(names), channels=("T1", "T2"), source="made up")


def test_halves_share_no_subject_and_lose_none():
    slices = subject_slices(["a", "a", "b", "c", "c", "d", "e"])
    one, two = halves(slices, seed=1)
    assert set(one.subjects).isdisjoint(two.subjects)
    assert len(one) + len(two) == len(slices) and abs(len(set(one.subjects)) - len(set(two.subjects))) <= 1
    assert torch.equal(*(torch.from_numpy(halves(slices, seed=1)[0].images) for _ in range(2)))


def test_one_subject_cannot_be_two_domains():
    with pytest.raises(DataError, match="at least two subjects, this set has 1"):
        halves(subject_slices(["a", "a"]), seed=0)


def test_the_smaller_domain_is_repeated_and_nothing_is_left_out():
    a, b = subject_slices(["a", "b", "c", "d", "e"]), subject_slices(["f", "g"])
    tensors = unpaired(of_channels(a, "T1"), of_channels(b, "T2"), seed=0)
    assert tensors["a"].shape == tensors["b"].shape == (5, 1, 8, 8)
    found = [int(np.flatnonzero((a.images[:, :1] == x.numpy()).all((1, 2, 3)))[0]) for x in tensors["a"]]
    assert sorted(found) == [0, 1, 2, 3, 4] and found != [0, 1, 2, 3, 4]
    assert len({x.numpy().tobytes() for x in tensors["b"]}) == 2


def test_slices_without_content_are_left_out():
    a, b = subject_slices(["a", "b", "c"]), subject_slices(["d", "e"])
    a.images[1] = -1
    tensors = unpaired(of_channels(a, "T1"), of_channels(b, "T1"), seed=0)
    kept = {x.numpy().tobytes() for x in tensors["a"]}
    assert kept == {a.images[k, :1].tobytes() for k in range(len(a)) if k != 1}
    a.images[:] = -1
    with pytest.raises(DataError, match="every slice of channel T1 is constant"):
        unpaired(of_channels(a, "T1"), of_channels(b, "T1"), seed=0)


def test_hidden_pairs_are_refused():
    with pytest.raises(DataError, match=r"1 subjects \(e.g. b\) are in both domains"):
        unpaired(subject_slices(["a", "b"]), subject_slices(["b", "c"]), seed=0)


def test_sizes_must_agree():
    with pytest.raises(DataError, match="8 and 16 pixels"):
        unpaired(subject_slices(["a"]), subject_slices(["b"], size=16), seed=0)


def test_channels_by_name():
    slices = subject_slices(["a", "b"])
    picked = of_channels(slices, "T2")
    assert picked.channels == ("T2",) and np.array_equal(picked.images[:, 0], slices.images[:, 1])
    with pytest.raises(DataError, match="no channel 'FLAIR'; known channels: T1, T2"):
        of_channels(slices, "FLAIR")


def test_intensity_inversion_needs_a_single_channel():
    slices = subject_slices(["a", "b"])
    both = with_intensity_inversion(of_channels(slices, "T1"))
    assert both.channels == ("T1", "inverted")
    assert np.array_equal(of_channels(both, "inverted").images, -of_channels(slices, "T1").images)
    with pytest.raises(DataError, match="has 2 channels"):
        with_intensity_inversion(slices)
