"""Generators: one file = one method. Each learns image channels and label jointly and samples both."""

from __future__ import annotations

from pathlib import Path

from ..published import load_published

# name -> (module, class); a new generator is one more line
GENERATORS = {
    "vae": ("vae", "VAE"),
    "dcgan": ("dcgan", "DCGAN"),
    "progan": ("progan", "ProGAN"),
    "stylegan1": ("stylegan1", "StyleGAN1"),
    "stylegan2": ("stylegan2", "StyleGAN2"),
    "stylegan3": ("stylegan3", "StyleGAN3"),
    "ddpm": ("ddpm", "DDPM"),
    "edm": ("edm", "EDM"),
    "class_diffusion": ("class_diffusion", "ClassDiffusion"),
    "patch_diffusion": ("patch_diffusion", "PatchDiffusion"),
    "latent_diffusion": ("latent_diffusion", "LatentDiffusion"),
    "spatial_diffusion": ("spatial_diffusion", "SpatialDiffusion"),
}


def load_generator(folder: Path, device="cpu"):
    """The published generator in `folder`, ready to use; see `load_published` for what it raises."""
    return load_published(folder, GENERATORS, __package__, device)
