"""Blocked search against all distances at once."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from medsynth_lib.metrics import neighbours
from medsynth_lib.metrics.neighbours import nearest

RNG = np.random.default_rng(0)
QUERIES, REFERENCES = RNG.normal(0, 1, (50, 6)), RNG.normal(0, 1, (70, 6))


@pytest.mark.parametrize("block", [7, 4096])
def test_equals_all_distances(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    distance, at = nearest(QUERIES, REFERENCES)
    everything = cdist(QUERIES, REFERENCES)
    assert np.array_equal(at, everything.argmin(1))
    assert distance == pytest.approx(everything.min(1), rel=1e-5)


def test_a_copy_far_from_the_origin_has_no_distance():
    distance, at = nearest(REFERENCES[:5] + 1000, REFERENCES + 1000)
    assert np.array_equal(at, range(5)) and distance.max() < 1e-3


def test_the_own_name_does_not_count():
    names = np.array(["a", "b"] * 35)
    distance, at = nearest(REFERENCES, REFERENCES, exclude_same=(names, names))
    everything = np.where(names[:, None] == names, np.inf, cdist(REFERENCES, REFERENCES))
    assert np.array_equal(at, everything.argmin(1)) and distance == pytest.approx(everything.min(1), rel=1e-5)
    distance, at = nearest(QUERIES[:2], REFERENCES, exclude_same=(["a", "a"], ["a"] * 70))
    assert np.isinf(distance).all() and (at == -1).all()


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        nearest(QUERIES, REFERENCES[:, :4])
    with pytest.raises(ValueError, match="do not fit"):
        nearest(QUERIES, REFERENCES[:0])
