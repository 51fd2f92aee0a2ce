"""What every generator owes the project: published weights that load and sample the same images."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.core.checkpoints import CheckpointError, save_weights
from medsynth_lib.models.registry import METHODS, load_generator

VAE = {"channels": 1, "labels": 2, "size": 16, "width": 8, "latent": 4}
CODER = {"channels": 1, "labels": 2, "size": 16, "width": 8, "latent": 2, "patch": 2}
SMALL = {
    "vae": lambda: ms.VAE(1, 2, 16, width=8, latent=4),
    "dcgan": lambda: ms.DCGAN(1, 2, 16, width=8, latent=4),
    "progan": lambda: ms.ProGAN(1, 2, 16, width=8, fmap_max=8, latent=4),
    "stylegan1": lambda: ms.StyleGAN1(1, 2, 16, width=8, fmap_max=8, latent=4),
    "stylegan2": lambda: ms.StyleGAN2(1, 2, 16, width=8, fmap_max=8, latent=4),
    "stylegan3": lambda: ms.StyleGAN3(1, 2, 16, width=8, fmap_max=8, latent=4, depth=3, margin=4),
    "ddpm": lambda: ms.DDPM(1, 2, 16, patch=2, widths=(8, 16), layers=1, solver_steps=3),
    "edm": lambda: ms.EDM(1, 2, 16, 0.7, patch=2, widths=(8, 16), layers=1, solver_steps=3),
    "class_diffusion": lambda: ms.ClassDiffusion(1, 2, 16, 0.7, patch=2, widths=(8, 16), solver_steps=3),
    "patch_diffusion": lambda: ms.PatchDiffusion(1, 2, 16, 0.7, tile=8, patch=2, widths=(8, 16), solver_steps=3),
    "latent_diffusion": lambda: ms.LatentDiffusion(1, 2, 16, VAE, width=16, blocks=1, solver_steps=3),
    "spatial_diffusion": lambda: ms.SpatialDiffusion(1, 2, 16, CODER, kinds=2, widths=(8, 16), attention=False),
}


def test_every_generator_is_tried_here():
    assert SMALL.keys() == METHODS["generator"].keys()


@pytest.mark.parametrize("name", SMALL)
def test_trained_published_loaded_samples_the_same(name, tmp_path):
    torch.manual_seed(0)
    method = SMALL[name]()
    tensors = {"images": torch.rand(8, 1, 16, 16) * 2 - 1, "labels": torch.zeros(8, 16, 16, dtype=torch.uint8)}
    tensors["classes"] = torch.arange(8) % 2
    codes = {"latent_diffusion": (8, 4), "spatial_diffusion": (8, 2, 4, 4)}.get(name)
    if codes:
        tensors = {"mean": torch.randn(codes), "log_variance": torch.zeros(codes), "kinds": torch.arange(8) % 2}
    record = ms.fit(method, tensors, tmp_path, images=16, batch_size=4, seed=0, ema_images=10)
    loaded = load_generator(tmp_path)
    assert loaded.parameters() == record["parameters"] == method.parameters()
    for mine, theirs in zip(method.sample(3, seed=1), loaded.sample(3, seed=1), strict=True):
        assert torch.equal(mine, theirs)


def test_an_incomplete_folder_names_itself(tmp_path):
    with pytest.raises(CheckpointError, match="holds no config.json"):
        load_generator(tmp_path)


def test_weights_of_another_version_are_refused_in_one_sentence(tmp_path):
    model = SMALL["dcgan"]()
    arguments = {**model.arguments(), "most": 8}
    save_weights(tmp_path, model.weights(), {"plan": {"method": "dcgan", "arguments": arguments}})
    with pytest.raises(CheckpointError, match="trained by another version of medsynth, whose dcgan had most; train it"):
        load_generator(tmp_path)


def test_the_committed_reference_weights_open(root):
    folders = [path.parent for path in sorted((root / "results" / "reference").rglob("config.json"))]
    assert folders and all(load_generator(folder).sample(1, 0)[0].isfinite().all() for folder in folders)
