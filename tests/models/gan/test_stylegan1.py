"""StyleGAN 1: AdaIN against its equation, mixing that changes fine layers only, the feature maps."""

import torch

from medsynth_lib.models.gan.stylegan1 import AdaIN, StyleGAN1


def test_adain_sets_mean_and_deviation_of_every_map():
    torch.manual_seed(0)
    adain = AdaIN(3, 4)
    x, w = torch.randn(5, 3, 16, 16) * 7 + 2, torch.randn(5, 4)
    out, (scale, offset) = adain(x, w), adain.style(w).chunk(2, dim=1)
    assert torch.allclose(out.mean((2, 3)), offset, atol=1e-4)
    assert torch.allclose(out.std((2, 3), unbiased=False), (1 + scale).abs(), atol=1e-3)


def test_the_constant_is_all_that_is_not_style_or_noise():
    torch.manual_seed(0)
    method = StyleGAN1(2, 3, 16, width=8, fmap_max=8, latent=4)
    ws = method.styles(1, 0)[:, None].expand(3, method.generator.layers, -1)
    images = method.generator.synthesis(ws)  # noise strength starts at 0
    assert torch.allclose(images, images[:1].expand_as(images), atol=1e-5)


def test_late_styles_leave_early_maps_alone():
    torch.manual_seed(0)
    method = StyleGAN1(2, 3, 16, width=8, fmap_max=8, latent=4)
    assert method.generator.layers == 6
    first = method.styles(2, 0)[:, None].expand(2, 6, -1).clone()
    second = first.clone()
    second[:, 4:] = method.styles(2, 1)[:, None]
    one, two = (method.generator.synthesis.features(ws) for ws in (first, second))
    assert [x.shape[-1] for x in one] == [4, 4, 8, 8, 16, 16]
    assert all(torch.equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))
    assert not torch.allclose(one[5], two[5], atol=1e-2)
