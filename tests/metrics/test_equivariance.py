"""EQ-T: exact for an input that is the image, low for one that sticks to the grid."""

import pytest
import torch

from medsynth_lib.metrics.equivariance import eq_t, fourier_shift


def test_whole_pixels_are_a_roll_and_halves_undo_each_other():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 15, 15)
    right = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    moved = fourier_shift(x, right)
    assert torch.allclose(moved[0], x[0].roll(2, -1), atol=1e-5)
    assert torch.allclose(moved[1], x[1].roll(3, -2), atol=1e-5)
    half = torch.full((2, 2), 0.5)
    assert torch.allclose(fourier_shift(fourier_shift(x, half), -half), x, atol=1e-5)


def wave(ws, move=None):
    """sin(2 pi 3 (x - move)) on 32 pixels: moves exactly."""
    at = torch.arange(32) / 32
    offset = torch.zeros(len(ws), 1) if move is None else move[:, :1]
    return torch.sin(2 * torch.pi * 3 * (at - offset))[:, None, None].expand(-1, 1, 32, -1)


def test_a_moving_image_scores_high_and_a_stuck_one_as_computed_by_hand():
    ws = torch.zeros(2, 1, 1)
    assert min(eq_t(wave, ws, (0.25, 1, 3), channels=1).values()) > 90
    stuck = eq_t(lambda ws, move=None: wave(ws), ws, (32 / 6,), channels=1)
    # moved by half a wave: the difference is 2 sin, its mean square 2 over whole waves; 4 / 2 is 3 dB
    assert stuck[32 / 6] == pytest.approx(3.0, abs=0.5)
