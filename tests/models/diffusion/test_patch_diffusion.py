"""Tiles: exact assembly, seams that show where tiles do not overlap, and a training that only holds a tile."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.metrics.seams import seam_ratio
from medsynth_lib.models.diffusion.edm import Denoiser
from medsynth_lib.models.diffusion.patch_diffusion import Assembled, PatchDiffusion, corners, places


def tiny(**more):
    torch.manual_seed(0)
    return PatchDiffusion(1, 2, 16, 0.7, tile=8, patch=2, widths=(8, 16), solver_steps=3, **more)


@pytest.mark.parametrize("size, tile, stride", [(16, 8, 4), (16, 8, 8), (20, 8, 5), (8, 8, 4)])
def test_assembly_is_exact_on_a_linear_ramp(size, tile, stride):
    """A network that answers with its place: the whole is the ramp over the whole image, whatever the overlap."""

    def answer(x, level, place, thumbnail):
        return place.sum(1, keepdim=True)

    whole = Assembled(answer, tile, stride)(torch.randn(2, 1, size, size), torch.zeros(2))
    assert torch.allclose(whole, places(size).sum(0).expand(2, 1, -1, -1), atol=1e-6)
    assert corners(size, tile, stride)[-1] == size - tile


def test_a_local_denoiser_draws_the_same_in_tiles_and_whole():
    local, noise = torch.nn.Module(), torch.randn(2, 1, 16, 16)
    local.forward = lambda x, level, *told: x.tanh()
    tiles, whole = Denoiser(Assembled(local, 8, 4), 0.5), Denoiser(local, 0.5)
    assert torch.allclose(tiles.solve(noise, 6), whole.solve(noise, 6), atol=1e-5)


def test_overlap_removes_the_seam_of_tiles_that_disagree():
    def brightness(x, level, place, thumbnail):
        return place.mean((1, 2, 3), keepdim=True).expand_as(x) + 0.1 * x

    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    apart, over = (Assembled(brightness, 8, stride)(x, torch.zeros(4)) for stride in (8, 4))
    assert seam_ratio(apart.numpy(), 8) > 1.5 > 1.1 > seam_ratio(over.numpy(), 8)


def test_training_sees_tiles_only_and_their_place():
    model, seen = tiny(), []
    net = model.denoiser.net
    forward = net.forward
    net.forward = lambda x, level, place, thumb: seen.append((x, place)) or forward(x, level, place, thumb)
    batch = {"images": torch.rand(4, 1, 16, 16), "labels": torch.zeros(4, 16, 16, dtype=torch.uint8)}
    assert model.loss(batch).shape == (4,)
    tiles, place = seen[0]
    assert tiles.shape == (4, 3, 8, 8) and place.shape == (4, 2, 8, 8)
    step = 2 / 16
    assert torch.allclose(place[:, 0].diff(dim=1), torch.tensor(step)), "in pixels of the whole image"
    assert len({tuple(p[:, 0, 0].tolist()) for p in place}) > 1, "each image is cut elsewhere"


def test_samples_are_whole_pictures():
    images, labels = tiny().sample(2, seed=0)
    assert images.shape == (2, 1, 16, 16) and labels.shape == (2, 16, 16)


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="tiles of 32 pixels do not fit images of 16"):
        ms.PatchDiffusion(1, 2, 16, 0.7, tile=32)
