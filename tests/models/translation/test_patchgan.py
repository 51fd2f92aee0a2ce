"""Patch scores and least squares by hand."""

import pytest
import torch

from medsynth_lib.models.translation.patchgan import PatchGAN, least_squares_d, least_squares_g


@pytest.mark.parametrize(("levels", "seen"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_a_patch_and_no_more(levels, seen):
    torch.manual_seed(0)
    net = PatchGAN(2, 4, levels)
    for layer in net.net:  # instance norm would let every pixel speak to every other
        if isinstance(layer, torch.nn.InstanceNorm2d):
            layer.forward = lambda x: x
    image = torch.randn(1, 2, 128, 128, requires_grad=True)
    scores = net(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = image.grad.abs().sum((0, 1)).nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [seen, seen]


def test_least_squares_by_hand():
    real, fake = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]])
    assert least_squares_d(real, fake).item() == pytest.approx((0.5 + 2.5) / 2)
    assert least_squares_g(fake).item() == pytest.approx(0.5)
    assert least_squares_d(torch.ones(3), torch.zeros(3)) == 0 == least_squares_g(torch.ones(3))
