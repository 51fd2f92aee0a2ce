"""What D sees: geometry moves image and label alike, intensity leaves labels alone, gradients flow, p is steered."""

import pytest
import torch

from medsynth_lib.data import joint
from medsynth_lib.models.gan.views import MOST, TARGET, adaptive, diff_augment, shift, steer


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (n, 16, 16), generator=generator, dtype=torch.uint8)
    return {"images": torch.rand(n, 2, 16, 16, generator=generator) * 2 - 1, "labels": labels}


def test_shift_moves_image_and_label_together():
    """All channels of one image take one offset: a code of the position stays equal in every channel."""
    torch.manual_seed(3)
    position = torch.arange(256.0).view(1, 1, 16, 16)
    moved = shift(position.expand(32, 5, 16, 16))
    assert torch.equal(moved, moved[:, :1].expand_as(moved))
    corner = moved[:, 0, 8, 8] - position[0, 0, 8, 8]
    rows, columns = torch.round(corner / 16), corner - 16 * torch.round(corner / 16)
    assert rows.abs().max() <= 2 and columns.abs().max() <= 2  # 0.125 of 16 pixels
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) > 8  # every image has its own


def test_shift_repeats_the_border_and_leaves_one_hot_labels_one_hot():
    data = batch()
    moved = shift(joint.encode(data["images"], data["labels"], 3))
    assert set(moved[:, 2:].unique().tolist()) == {-1.0, 1.0} and torch.all((moved[:, 2:] > 0).sum(1) == 1)
    ramp = shift(torch.arange(16.0).expand(8, 1, 16, 16))
    assert torch.all(ramp.diff(dim=-1) >= 0) and ramp.min() == 0 and ramp.max() == 15


def test_shift_passes_gradients_to_the_pixels_it_shows():
    x = torch.zeros(4, 1, 16, 16, requires_grad=True)
    shift(x).sum().backward()
    assert torch.all(x.grad.sum((1, 2, 3)) == 256)


ONE = torch.ones(())


@pytest.mark.parametrize("view", [lambda x: diff_augment(x, 0), lambda x: adaptive(x, 0, ONE)])
def test_geometry_moves_all_channels_alike(view):
    """With no image channel nothing but geometry is left: equal channels stay equal, and are moved."""
    torch.manual_seed(0)
    image = torch.rand(16, 1, 32, 32).expand(-1, 5, -1, -1)
    seen = view(image)
    assert torch.allclose(seen, seen[:, :1].expand_as(seen)) and not torch.allclose(seen, image, atol=0.1)


@pytest.mark.parametrize("view", [diff_augment, lambda x, c: adaptive(x, c, ONE)])
def test_intensity_changes_leave_labels_alone(view):
    """Label planes that are the same everywhere cannot be changed by geometry, so nothing may change them."""
    torch.manual_seed(0)
    flat = torch.cat([torch.rand(16, 2, 32, 32), torch.ones(16, 3, 32, 32)], dim=1)
    seen = view(flat, 2)
    kept = seen[:, 2:]
    assert set(kept.round(decimals=5).unique().tolist()) <= {0.0, 1.0}, "0 only where DiffAugment cuts a square out"
    assert (seen[:, :2].mean((2, 3)) - flat[:, :2].mean((2, 3))).abs().max() > 0.1


def test_ada_does_nothing_at_p_zero_and_more_with_p():
    torch.manual_seed(0)
    image = torch.rand(256, 3, 16, 16)
    assert torch.allclose(adaptive(image, 2, torch.zeros(())), image, atol=1e-5)
    changed = {p: (adaptive(image, 2, torch.tensor(p)) - image).abs().amax((1, 2, 3)).gt(1e-3) for p in (0.1, 0.5)}
    # seven changes, of which the mirror shows in half its cases: an image is untouched with (1 - p)^6 (1 - p / 2)
    for p, touched in changed.items():
        assert touched.float().mean().item() == pytest.approx(1 - (1 - p) ** 6 * (1 - p / 2), abs=0.08)


def test_half_the_pictures_are_mirrored_and_none_is_upside_down():
    torch.manual_seed(0)
    dot = torch.zeros(400, 1, 65, 65)
    dot[:, :, 24:31, 44:51] = 1  # right of the middle and above it
    seen, at = adaptive(dot, 0, ONE)[:, 0], torch.arange(65) - 32.0
    mass = seen.sum((1, 2))
    x, y = (((seen.sum(dim) * at).sum(1) / mass)[mass > 10] for dim in (1, 2))
    assert 0.35 < (x < 0).float().mean() < 0.65 and (y > 0).float().mean() < 0.4


@pytest.mark.parametrize("view", [diff_augment, lambda x, c: adaptive(x, c, torch.tensor(0.7))])
def test_the_generators_gradient_flows_through(view):
    torch.manual_seed(0)
    image = torch.rand(8, 5, 16, 16, requires_grad=True)
    view(image, 2).square().sum().backward()
    assert image.grad.isfinite().all() and (image.grad.abs().sum((1, 2, 3)) > 0).all()


def test_p_rises_when_d_knows_its_pictures_and_falls_when_not():
    p = torch.tensor(0.3)
    for _ in range(10):
        steer(p, torch.tensor(0.9), images=64, images_to_one=6400)
    assert p.item() == pytest.approx(0.4)
    for _ in range(30):
        steer(p, torch.tensor(TARGET - 0.2), images=64, images_to_one=6400)
    assert p.item() == pytest.approx(0.1)
    for _ in range(200):
        steer(p, torch.tensor(1.0), images=64, images_to_one=6400)
    assert p.item() == pytest.approx(MOST)
