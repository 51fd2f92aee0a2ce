"""The folded U-Net: what is given reaches it."""

import torch

from medsynth_lib.core.optim import warm_up
from medsynth_lib.models.diffusion.unet import FoldedUNet


def net(**more):
    torch.manual_seed(0)
    return FoldedUNet(3, 16, 2, (8, 16), 1, False, **more)


def test_classes_and_a_given_picture_change_the_answer():
    x, level = torch.randn(2, 3, 16, 16), torch.zeros(2)
    condition = net(classes=3)
    assert not torch.equal(condition(x, level, torch.tensor([0, 0])), condition(x, level, torch.tensor([0, 2])))
    shown = net(given=2)
    image = torch.zeros(2, 2, 16, 16)
    assert shown(x, level, image=image).shape == x.shape
    assert not torch.equal(shown(x, level, image=image), shown(x, level, image=image + 1))


def test_learning_rate_warms_up():
    assert warm_up(0.0) < 0.1 and warm_up(0.02) == warm_up(0.5) == 1.0
