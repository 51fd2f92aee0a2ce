"""pix2pix and SPADE: shapes, the pair that D sees, seeds, and four pairs learned by heart."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import METHODS as REGISTERED
from medsynth_lib.models.registry import load_translator
from medsynth_lib.models.translation.pix2pix import Pix2Pix, one_hot
from medsynth_lib.models.translation.spade import SPADE

METHODS = {
    "pix2pix": lambda **k: Pix2Pix(1, 3, 16, **{"width": 8, "levels": 3, **k}),
    "spade": lambda **k: SPADE(1, 3, 16, **{"width": 8, "levels": 2, "latent": 4, **k}),
}


def pairs(n=4):
    generator = torch.Generator().manual_seed(1)
    labels = torch.nn.functional.interpolate(torch.rand(n, 1, 4, 4, generator=generator), size=16)[:, 0]
    labels = (labels * 3).to(torch.uint8)
    return {"images": labels[:, None].float() - 1 + 0.2 * torch.linspace(-1, 1, 16), "labels": labels}


def test_every_gan_from_masks_is_tried_here():
    assert METHODS.keys() | {"cyclegan", "attention_cyclegan", "mask_diffusion"} == REGISTERED["translator"].keys()


def test_the_condition_has_a_channel_per_label():
    labels = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    assert one_hot(labels, 3)[0].tolist() == [[[1, -1], [-1, -1]], [[-1, -1], [1, 1]], [[-1, 1], [-1, -1]]]


@pytest.mark.parametrize("name", METHODS)
def test_d_judges_the_pair_and_not_the_image_alone(name):
    torch.manual_seed(0)
    method, data = METHODS[name](), pairs()
    condition = one_hot(data["labels"], 3)
    right = method.discriminator_loss(condition, data["images"], data["images"].flip(0))
    wrong = method.discriminator_loss(condition.flip(0), data["images"], data["images"].flip(0))
    assert right != wrong, "the same images, other masks"


@pytest.mark.parametrize("name", METHODS)
def test_a_step_trains_both_and_names_its_losses(name):
    torch.manual_seed(0)
    method = METHODS[name]()
    before = {key: value.clone() for key, value in method.weights().items()}
    losses = method.step(pairs(), method.optimisers(), 0.0)
    assert set(losses) == {"d", "g", "l1"} and all(value.isfinite() for value in losses.values())
    changed = {key.split(".")[0] for key, value in method.weights().items() if not torch.equal(value, before[key])}
    assert changed == {"generator", "discriminator"}


@pytest.mark.parametrize("name", METHODS)
def test_published_loaded_and_seeded(name, tmp_path):
    torch.manual_seed(0)
    method, labels = METHODS[name](), pairs()["labels"]
    ms.fit(method, pairs(), tmp_path, images=16, batch_size=4, seed=0, ema_images=8)
    loaded = load_translator(tmp_path)
    first = method.translate(labels, seed=1)
    assert first.shape == (4, 1, 16, 16) and torch.equal(loaded.translate(labels, seed=1), first)
    assert not torch.equal(loaded.translate(labels, seed=2), first), "noise draws another image"


@pytest.mark.parametrize("name", METHODS)
def test_four_pairs_are_learned_by_heart(name):
    torch.manual_seed(0)
    method, data = METHODS[name](width=16, learning_rate=2e-3), pairs()
    optimisers = method.optimisers()
    for k in range(150):
        torch.manual_seed(k)
        method.step(data, optimisers, 0.0)
    drawn = method.translate(data["labels"], seed=0)
    error = (drawn - data["images"]).abs().mean()
    others = (drawn - data["images"].roll(1, 0)).abs().mean()
    assert error < 0.2 and error < 0.35 * others, "the image of its own mask, not of another's"


def test_a_picture_too_small_for_the_levels_is_refused():
    with pytest.raises(ValueError, match="pix2pix: 16 pixels cannot be halved 5 times"):
        Pix2Pix(1, 3, 16, levels=5)
