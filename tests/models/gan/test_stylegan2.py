"""StyleGAN 2: modulation equals its grouped form, demodulation keeps unit variance, D and G fit together."""

import pytest
import torch
from torch.nn import functional as F

from medsynth_lib.models.gan.stylegan2 import ModulatedConv, StyleGAN2


def grouped(conv, x, w):
    """The same layer with one weight tensor per image, as the paper writes it: one grouped convolution."""
    b, c, h, side = x.shape
    s = conv.style(w)
    weight = conv.weight[None] * conv.gain * s[:, None, :, None, None]
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    k = weight.shape[-1]
    weight = weight.reshape(-1, c, k, k)
    return F.conv2d(x.reshape(1, -1, h, side), weight, padding=k // 2, groups=b).view(b, -1, h, side)


@pytest.mark.parametrize(("kernel", "demodulate"), [(3, True), (3, False), (1, False)])
def test_modulated_convolution_equals_its_grouped_form(kernel, demodulate):
    torch.manual_seed(0)
    conv = ModulatedConv(6, 7, 4, kernel, demodulate)
    x, w = torch.randn(5, 6, 9, 9), torch.randn(5, 4)
    assert torch.allclose(conv(x, w), grouped(conv, x, w), atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_demodulated_activations_have_unit_variance_whatever_the_style(up):
    torch.manual_seed(0)
    conv = ModulatedConv(64, 64, 8, up=up)
    x = torch.randn(32, 64, 16, 16)
    for strength in (0.1, 1.0, 30.0):
        out = conv(x, strength * torch.randn(32, 8))[..., 3:-3, 3:-3]
        # Raising the rate of white noise by the low-pass filter leaves part of its power.
        assert out.std().item() == pytest.approx(0.68 if up else 1.0, abs=0.1)
        if not up:
            assert out.std((2, 3)).mean().item() == pytest.approx(1.0, abs=0.1)


def test_without_demodulation_strong_styles_blow_up():
    torch.manual_seed(0)
    conv = ModulatedConv(64, 64, 8, demodulate=False)
    x = torch.randn(32, 64, 8, 8)
    assert conv(x, 30 * torch.randn(32, 8)).std() > 10


@pytest.mark.parametrize(("channels", "labels", "size", "patch"), [(1, 0, 16, 1), (4, 4, 64, 1), (4, 4, 64, 4)])
def test_shapes(channels, labels, size, patch):
    method = StyleGAN2(channels, labels, size, width=8, fmap_max=8, latent=4, patch=patch, d_patch=2)
    image = method.generator(torch.randn(2, 4), torch.randn(2, 4))
    assert image.shape == (2, channels + labels, size, size) and method.discriminator(image).shape == (2,)
    images, masks = method.sample(3, seed=0)
    assert images.shape == (3, channels, size, size) and masks.shape == (3, size, size)
    assert method.generator.layers == {16: 6, 64: 10}[size // patch]


def test_every_style_reaches_the_picture():
    torch.manual_seed(0)
    method = StyleGAN2(2, 3, 16, width=8, fmap_max=8, latent=4)
    ws = method.styles(1, 0)[:, None].repeat(1, 6, 1).requires_grad_(True)
    method.generator.synthesis(ws).square().sum().backward()
    assert (ws.grad.abs().sum((0, 2)) > 0).all()
