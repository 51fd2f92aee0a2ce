"""Classes: they are told and obeyed, the overlap term is nought where answers differ, and seeds are samples."""

import pytest
import torch

from medsynth_lib.models.diffusion.class_diffusion import MARGIN, ClassDiffusion


def tiny(**more):
    torch.manual_seed(0)
    return ClassDiffusion(1, 0, 16, 0.7, classes=3, patch=2, widths=(16, 32), solver_steps=8, **more)


def three(n=24):
    """Class k is a flat image of brightness k - 1 (times 0.8)."""
    classes = torch.arange(n) % 3
    images = (0.8 * (classes - 1.0)).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).clone()
    return {"images": images, "labels": torch.zeros(n, 16, 16, dtype=torch.uint8), "classes": classes}


def test_a_trained_model_draws_the_class_that_was_asked():
    model = tiny(learning_rate=3e-3)
    optimisers = model.optimisers()
    for k in range(120):
        torch.manual_seed(k)
        model.step(three(), optimisers, 0.0)
    for guidance in (1.0, 2.0):
        images = model.sample(6, seed=1, classes=torch.tensor([0, 0, 1, 1, 2, 2]), guidance=guidance)[0]
        means = images.mean((1, 2, 3)).view(3, 2).mean(1).tolist()
        assert means == pytest.approx([-0.8, 0.0, 0.8], abs=0.25)


def test_guidance_nought_does_not_listen():
    model = tiny()
    with torch.no_grad():
        torch.nn.init.normal_(model.denoiser.net.unet.conv_out.weight)
    condition = model.sample(2, seed=0, classes=torch.tensor([0, 1]), guidance=0.0)[0]
    assert torch.allclose(condition, model.sample(2, seed=0)[0], atol=1e-4)
    assert not torch.allclose(condition, model.sample(2, seed=0, classes=torch.tensor([0, 1]))[0], atol=1e-3)


@pytest.mark.parametrize("distance", [0.0, 0.2, 1.0])
def test_overlap_by_hand(distance):
    """A network that answers `distance` times its class: the hinge is weight (margin - (c - c')^2 distance^2)+ / 1."""
    model = tiny(overlap=2.0)
    plain = tiny()

    def answer(x, level, kinds):
        return (distance * kinds.float()).view(-1, 1, 1, 1).expand_as(x)

    batch = three(3)
    found = {}
    for name, each in (("overlap", model), ("plain", plain)):
        each.denoiser.net.forward = answer
        torch.manual_seed(4)
        found[name] = each.loss(batch)
    term = found["overlap"] - found["plain"]
    possible = [2.0 * max(0.0, MARGIN - (k * distance) ** 2) for k in (1, 2)]
    assert all(min(abs(value.item() - p) for p in possible) < 1e-5 for value in term)
