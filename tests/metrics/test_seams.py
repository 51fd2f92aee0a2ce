"""Seams: none in noise, a planted one is found in proportion."""

import numpy as np
import pytest

from medsynth_lib.metrics.seams import seam_ratio


def test_noise_has_no_seam_and_a_planted_step_shows():
    images = np.random.default_rng(0).standard_normal((20, 2, 32, 32))
    assert seam_ratio(images, 8) == pytest.approx(1, abs=0.02)
    tiles = np.add.outer(np.arange(32) // 8, np.arange(32) // 8)
    assert seam_ratio(images + 3 * tiles, 8) > 2
    assert seam_ratio(images + 3 * tiles, 5) < 1.2, "looked for at another place"


def test_by_hand():
    """Steps of 2 on the lines, a ramp of 1 elsewhere."""
    line = np.cumsum([0] + [2 if k % 4 == 0 else 1 for k in range(1, 16)])
    assert seam_ratio(np.add.outer(line, line)[None, None].astype(float), 4) == pytest.approx(2)


def test_no_line_is_refused():
    with pytest.raises(ValueError, match="every 16 pixels"):
        seam_ratio(np.zeros((1, 1, 16, 16)), 16)
