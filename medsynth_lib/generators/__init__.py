"""Generators: one file = one method. Each learns image channels and label jointly and samples both."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..checkpoints import CheckpointError, load_weights

# name -> (module, class); a new generator is one more line
GENERATORS = {
    "vae": ("vae", "VAE"),
    "dcgan": ("dcgan", "DCGAN"),
    "progan": ("progan", "ProGAN"),
    "stylegan1": ("stylegan1", "StyleGAN1"),
    "stylegan2": ("stylegan2", "StyleGAN2"),
    "stylegan3": ("stylegan3", "StyleGAN3"),
    "ddpm": ("ddpm", "DDPM"),
}


def load_generator(folder: Path, device="cpu"):
    """The published generator in `folder` (weights.safetensors + config.json), ready to sample.

    Raises CheckpointError when the folder is incomplete or names an unknown method.
    """
    weights, config = load_weights(folder)
    name = config["plan"]["method"]
    if name not in GENERATORS:
        raise CheckpointError(f"{folder} holds a {name!r}; known generators: {', '.join(GENERATORS)}.")
    module, cls = GENERATORS[name]
    method = getattr(importlib.import_module(f".{module}", __package__), cls)(**config["plan"]["arguments"])
    method.load(weights)
    for net in method.parts().values():
        net.eval()
    return method.to(device)
