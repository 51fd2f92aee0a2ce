"""Equalised layers, resampling, minibatch deviation, mapping and mixing: each against a value known otherwise."""

import numpy as np
import pytest
import torch

from medsynth_lib.data import joint
from medsynth_lib.models.gan import blocks


def test_equalised_layers_keep_unit_variance():
    torch.manual_seed(0)
    x = torch.randn(64, 32, 16, 16)
    for out in (blocks.EqualConv(32, 48)(x)[..., 1:-1, 1:-1], blocks.EqualLinear(32, 48)(x.movedim(1, -1))):
        assert out.std().item() == pytest.approx(1, abs=0.05)
    assert blocks.leaky(torch.randn(100_000)).square().mean().item() == pytest.approx(1.04, abs=0.03)


def test_a_slow_layer_computes_the_same_and_learns_slower():
    torch.manual_seed(0)
    layer = blocks.EqualLinear(8, 8, bias=0.5, rate=0.01)
    assert layer(torch.randn(4000, 8)).var(dim=0).mean().item() == pytest.approx(1, abs=0.4)
    assert layer(torch.zeros(1, 8)).detach().unique().item() == pytest.approx(0.5)
    assert layer.weight.std() > 50, "weights are 100 times larger, so that one Adam step changes them 100 times less"


def test_pixel_norm():
    x = blocks.pixel_norm(torch.randn(3, 7, 5, 5) * 9)
    assert torch.allclose(x.square().mean(1), torch.ones(3, 5, 5), atol=1e-4)


def test_resampling_keeps_a_constant_and_inverts_for_smooth_pictures():
    flat = torch.full((1, 2, 16, 16), 3.0)
    for out in (blocks.upsample(flat), blocks.downsample(flat)):
        assert torch.allclose(out[..., 2:-2, 2:-2], torch.tensor(3.0), atol=1e-5)
    at = torch.linspace(0, 1, 32)
    smooth = torch.sin(4 * at)[:, None] * torch.cos(3 * at)
    back = blocks.downsample(blocks.upsample(smooth[None, None]))[0, 0]
    assert (back - smooth)[3:-3, 3:-3].abs().max() < 0.01


def test_resampling_does_not_move_the_picture():
    spot = torch.zeros(1, 1, 16, 16)
    spot[..., 7:9, 7:9] = 1
    for out in (blocks.upsample(spot), blocks.downsample(spot)):
        assert torch.allclose(out, out.flip(-1).flip(-2), atol=1e-6)


def test_minibatch_deviation_sees_a_collapsed_batch():
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert blocks.minibatch_deviation(same)[:, 3:].max().item() == pytest.approx(0, abs=1e-3)
    different = torch.randn(4, 304, 4, 4)
    out = blocks.minibatch_deviation(different, parts=8)
    assert out.shape == (4, 312, 4, 4)
    for k in range(8):
        expected = different[:, 38 * k : 38 * (k + 1)].numpy().std(axis=0).mean()
        assert np.allclose(out[:, 304 + k].numpy(), expected, atol=1e-4)
    one = blocks.minibatch_deviation(different)
    assert torch.allclose(one[:, 304], out[:, 304:].mean(dim=1), atol=1e-4), "one part: the mean over all channels"
    assert blocks.minibatch_deviation(torch.randn(7, 2, 4, 4)).shape == (7, 3, 4, 4)


def test_minibatch_deviation_says_which_samples_and_channels_are_alike():
    x = torch.zeros(8, 2, 4, 4)
    x[4:, 0] = torch.randn(4, 4, 4)  # groups are every second sample: 0, 2, 4, 6 and 1, 3, 5, 7
    x[::2, 1] = torch.randn(4, 1, 1)
    first, second = blocks.minibatch_deviation(x, parts=2)[:, 2:, 0, 0].unbind(1)
    assert torch.equal(first[::2], first[:1].expand(4)) and torch.equal(first[1::2], first[1:2].expand(4))
    assert (first > 0.1).all() and (second[::2] > 0.1).all() and (second[1::2] < 1e-3).all()


def test_levels():
    assert blocks.levels(64, 8, 32) == {4: 32, 8: 32, 16: 32, 32: 16, 64: 8}
    assert blocks.levels(64, 8, 32, patch=4) == {4: 32, 8: 32, 16: 32}, "the same without the finest"


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_new_windows_add_up_to_an_even_picture(patch):
    paint = blocks.ToRGB(5, 3, patch)
    torch.nn.init.normal_(paint.bias)
    x = torch.randn(5)
    image = paint(x[None, :, None, None].expand(2, -1, 6, 6))
    assert image.shape == (2, 3, 6 * patch, 6 * patch)
    expected = x @ paint.weight[:, :, 0, 0] / 5**0.5 + paint.bias
    inside = image[..., patch:-patch, patch:-patch]
    assert torch.allclose(inside, expected[None, :, None, None].expand_as(inside), atol=1e-5)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_a_look_sees_every_pixel_and_its_own_patch_in_the_middle(patch):
    look = blocks.FromRGB(2, 1, patch)
    image = torch.zeros(1, 2, 6 * patch, 6 * patch, requires_grad=True)
    look(image).sum().backward()
    assert look(image).shape == (1, 1, 6, 6) and (image.grad != 0).all()
    image.grad = None
    look(image)[0, 0, 2, 3].backward()
    rows, columns = image.grad[0].abs().sum(0).nonzero().float().mean(0).tolist()
    assert (rows, columns) == (2.5 * patch - 0.5, 3.5 * patch - 0.5)


def test_mapping_tracks_the_mean_and_truncates_towards_it():
    torch.manual_seed(0)
    mapping = blocks.Mapping(6, 2)
    for _ in range(2000):
        mapping(torch.randn(64, 6))
    mapping.eval()
    w = mapping(torch.randn(20_000, 6))
    assert torch.allclose(mapping.mean, w.mean(0), atol=0.05)
    assert torch.equal(mapping.truncate(w, 1.0), w) or torch.allclose(mapping.truncate(w, 1.0), w, atol=1e-5)
    assert torch.allclose(mapping.truncate(w, 0.0), mapping.mean.expand_as(w))
    assert mapping.truncate(w, 0.5).std(0).mean().item() == pytest.approx(0.5 * w.std(0).mean().item(), rel=1e-3)


def test_mixing_swaps_at_one_layer_and_as_often_as_asked():
    torch.manual_seed(0)
    ws = blocks.mix(torch.zeros(4000, 2), torch.ones(4000, 2), layers=6, chance=0.9)[..., 0]
    assert torch.all(ws.diff(dim=1) >= 0) and torch.all(ws[:, 0] == 0), "one change, from the first to the second"
    assert (ws[:, -1] == 1).float().mean().item() == pytest.approx(0.9, abs=0.02)
    starts = ws[ws[:, -1] == 1].sum(1)
    assert set(starts.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_joint_output_starts_from_the_background_share_and_labels_compete():
    output = blocks.JointOutput(joint.Shape(2, 4, 8), background=0.97)
    image = output(torch.zeros(1, 6, 8, 8))
    shares = (image[0, 2:, 0, 0] + 1) / 2
    assert shares.tolist() == pytest.approx([0.97, 0.01, 0.01, 0.01], abs=1e-5)
    assert blocks.JointOutput(joint.Shape(2, 0, 8), 0.9)(torch.ones(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_a_label_that_was_given_up_still_feels_a_gradient():
    logits = torch.tensor([[12.0, 0.0, 0.0]], requires_grad=True)
    shares = blocks.shares(logits)
    assert torch.allclose(shares, logits.softmax(1), atol=1e-6)
    (ours,) = torch.autograd.grad(shares[0, 1], logits)
    plain = torch.autograd.functional.jacobian(lambda x: x.softmax(1)[0, 1], logits.detach())
    assert plain[0, 1] < 1e-5 and ours[0, 1] > 1000 * plain[0, 1]
    softer = torch.autograd.functional.jacobian(lambda x: 4 * (x / 4).softmax(1)[0, 1], logits.detach())
    assert torch.allclose(ours, softer)
