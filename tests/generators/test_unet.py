"""The folded U-Net: what is given reaches it, and the fine layers begin as nothing."""

import torch

from medsynth_lib.generators.unet import FoldedUNet, warm_up


def net(**more):
    torch.manual_seed(0)
    return FoldedUNet(3, 16, 2, (8, 16), 1, False, **more)


def test_classes_and_a_given_picture_change_the_answer():
    x, level = torch.randn(2, 3, 16, 16), torch.zeros(2)
    told = net(classes=3)
    assert not torch.equal(told(x, level, torch.tensor([0, 0])), told(x, level, torch.tensor([0, 2])))
    shown = net(given=2, fine=4)
    picture = torch.zeros(2, 2, 16, 16)
    assert shown(x, level, picture=picture).shape == x.shape
    assert not torch.equal(shown(x, level, picture=picture), shown(x, level, picture=picture + 1))


def test_fine_layers_begin_as_the_unet_alone_and_then_see_single_pixels():
    """What a coarse grid cannot carry: a pixel of noise is answered at its own place, and not around it."""
    x, level, fine = torch.zeros(1, 3, 16, 16), torch.zeros(1), net(fine=4)
    alone = net()
    alone.load_state_dict({k: v for k, v in fine.state_dict().items() if not k.startswith("fine.")})
    assert torch.equal(fine(x, level), alone(x, level))
    torch.nn.init.normal_(fine.fine.last.weight)
    drawn, near = torch.zeros(1, 3, 16, 16), x.clone()
    near[..., 8, 8] = 1
    embedded = torch.zeros(1, 32)
    moved = (fine.fine(near, drawn, embedded) != fine.fine(x, drawn, embedded)).any(1)[0]
    assert moved[5:12, 5:12].any() and moved.sum() == moved[5:12, 5:12].sum(), "three 3 x 3 layers reach three pixels"


def test_learning_rate_warms_up():
    assert warm_up(0.0) < 0.1 and warm_up(0.02) == warm_up(0.5) == 1.0
