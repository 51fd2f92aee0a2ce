"""Diffusion from masks: the mask decides, the seed varies, published weights draw the same."""

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import load_translator
from medsynth_lib.models.translation.mask_diffusion import region_means


def halves(n=8):
    """Labels 0, 1, 2 in blocks; each has its own brightness."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.nn.functional.interpolate(torch.rand(n, 1, 4, 4, generator=generator), size=16)[:, 0]
    labels = (labels * 3).to(torch.uint8)
    return {"images": (labels[:, None].float() - 1) * 0.8, "labels": labels}


def tiny(**more):
    torch.manual_seed(0)
    return ms.MaskDiffusion(1, 3, 16, 0.7, patch=2, widths=(16, 32), solver_steps=8, learning_rate=3e-3, **more)


def test_it_learns_which_brightness_belongs_to_which_label():
    model, data = tiny(), halves()
    optimisers = model.optimisers()
    for k in range(150):
        torch.manual_seed(k)
        model.step(data, optimisers, 0.0)
    fresh = halves(12)["labels"][8:]  # masks it has not seen
    drawn = model.translate(fresh, seed=0)[:, 0]
    means = [drawn[fresh == label].mean().item() for label in range(3)]
    assert means == pytest.approx([-0.8, 0.0, 0.8], abs=0.2)


def test_published_loaded_and_seeded(tmp_path):
    model, labels = tiny(), halves()["labels"]
    ms.fit(model, halves(), tmp_path, images=16, batch_size=4, seed=0, ema_images=8)
    loaded = load_translator(tmp_path)
    first = model.translate(labels, seed=1)
    assert first.shape == (8, 1, 16, 16) and torch.equal(loaded.translate(labels, seed=1), first)
    assert not torch.equal(loaded.translate(labels, seed=2), first), "noise draws another image"


def test_it_draws_no_masks():
    with pytest.raises(TypeError, match="call translate"):
        tiny().sample(2, seed=0)


def test_region_means_are_those_of_the_foreground_region_by_region():
    rng = np.random.default_rng(0)
    images, labels = (
        rng.uniform(-0.9, 1, (4, 2, 8, 8)).astype(np.float32),
        rng.integers(0, 3, (4, 8, 8)).astype(np.uint8),
    )
    images[0, :, :4] = -1  # air
    images[1, 0, 0, 0], labels[1, 0, 0] = -1, 0  # dark in one channel only: foreground
    labels[2][labels[2] == 1] = 0
    found = region_means(torch.from_numpy(images), torch.from_numpy(labels), 3).numpy()
    for n in range(4):
        for label in range(3):
            inside = (labels[n] == label) & ((images[n] > -0.95).any(0) | (label > 0))
            expected = images[n][:, inside].mean(1) if inside.any() else np.zeros(2)
            assert found[n, label] == pytest.approx(expected, abs=1e-5), (n, label)
    assert (found[2, 1] == 0).all()


def test_a_model_with_region_means_generates_regions_of_the_brightness_that_is_asked_for(tmp_path):
    """The brightness of label 2 is random; the model without the means cannot know it."""
    torch.manual_seed(0)
    model, data = tiny(region_means=True), halves(32)
    data["images"] = torch.where(data["labels"][:, None] == 2, torch.rand(32, 1, 1, 1) * 1.6 - 0.8, data["images"])
    ms.fit(model, data, tmp_path, images=6400, batch_size=32, seed=0)
    labels = halves(40)["labels"][32:]
    for asked in (-0.5, 0.5):
        means = torch.tensor([-0.8, 0.0, asked]).view(1, 3, 1).expand(8, -1, -1)
        drawn = load_translator(tmp_path).translate(labels, 0, means)[:, 0]
        assert drawn[labels == 2].mean().item() == pytest.approx(asked, abs=0.15)


def test_means_are_asked_for_and_refused_in_one_sentence():
    labels = halves()["labels"]
    with pytest.raises(ValueError, match="needs the means of the regions of each mask; see"):
        tiny(region_means=True).translate(labels, 0)
    with pytest.raises(ValueError, match="was trained without means"):
        tiny().translate(labels, 0, torch.zeros(8, 3, 1))


def test_pixels_in_and_around_regions_weigh_more_in_the_loss_by_hand():
    labels = torch.zeros(1, 16, 16, dtype=torch.uint8)
    labels[0, 8, 8] = 2
    model = tiny(region_weight=5.0)
    importance = model.importance(labels)[0, 0]
    assert (importance[6:11, 6:11] == 5).all() and importance.sum() == 256 + 4 * 25
    images, condition = torch.rand(1, 1, 16, 16), model.condition(labels, torch.zeros(1, 3, 1))
    torch.manual_seed(1)
    noisy, sigma = model.denoiser.noisy(images)
    square = ((model.denoiser(noisy, sigma, None, condition) - images) / 0.7).square()[0, 0]
    by_hand = (1 + (0.7 / sigma) ** 2) * (square * importance).mean()
    torch.manual_seed(1)
    torch.testing.assert_close(model.loss({"images": images, "labels": labels}), by_hand)
    plain = tiny()
    torch.manual_seed(1)
    without = plain.loss({"images": images, "labels": labels})
    torch.testing.assert_close(without, (1 + (0.7 / sigma) ** 2) * square.mean())
