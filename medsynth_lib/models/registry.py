"""The table of all methods, and how a trained one is loaded: from weights.safetensors and config.json in a folder.

A new method is one more line. Its module, and torch, are imported when it is first used.
"""

from __future__ import annotations

import importlib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..core.method import Method

# kind: {name: (module below medsynth_lib.models, class)}
METHODS = {
    "generator": {
        "vae": ("autoencoder.vae", "VAE"),
        "dcgan": ("gan.dcgan", "DCGAN"),
        "progan": ("gan.progan", "ProGAN"),
        "stylegan1": ("gan.stylegan1", "StyleGAN1"),
        "stylegan2": ("gan.stylegan2", "StyleGAN2"),
        "stylegan3": ("gan.stylegan3", "StyleGAN3"),
        "ddpm": ("diffusion.ddpm", "DDPM"),
        "edm": ("diffusion.edm", "EDM"),
        "class_diffusion": ("diffusion.class_diffusion", "ClassDiffusion"),
        "patch_diffusion": ("diffusion.patch_diffusion", "PatchDiffusion"),
        "latent_diffusion": ("diffusion.latent_diffusion", "LatentDiffusion"),
        "spatial_diffusion": ("diffusion.spatial_diffusion", "SpatialDiffusion"),
    },
    "translator": {
        "cyclegan": ("translation.cyclegan", "CycleGAN"),
        "attention_cyclegan": ("translation.attention", "AttentionCycleGAN"),
        "pix2pix": ("translation.pix2pix", "Pix2Pix"),
        "spade": ("translation.spade", "SPADE"),
        "mask_diffusion": ("translation.mask_diffusion", "MaskDiffusion"),
    },
    "segmenter": {
        "unet": ("segmentation.unet", "UNetSegmenter"),
        "dynunet": ("segmentation.unet", "DynUNetSegmenter"),
        "swin": ("segmentation.swin", "SwinSegmenter"),
    },
    "encoder": {"simclr": ("encoder.simclr", "SimCLR")},
}


def names(kind: str) -> list[str]:
    """The methods of one kind: "generator", "translator", "segmenter" or "encoder"."""
    return list(METHODS[kind])


def method_class(name: str, kind: str) -> type[Method]:
    """The class of the method `name`; KeyError for an unknown one."""
    module, cls = METHODS[kind][name]
    return getattr(importlib.import_module(f".{module}", __package__), cls)


def load(folder: Path, kind: str, device: torch.device | str = "cpu") -> Method:
    """The trained method in `folder`, in evaluation mode on `device`.

    Raises CheckpointError when the folder is incomplete or holds no known method of this kind.
    """
    from ..core.checkpoints import CheckpointError, load_weights

    weights, config = load_weights(folder)
    name = config["plan"]["method"]
    if name not in METHODS[kind]:
        raise CheckpointError(f"{folder} holds a {name!r}; known {kind}s: {', '.join(METHODS[kind])}.")
    cls = method_class(name, kind)
    if unknown := sorted(config["plan"]["arguments"].keys() - {field.name for field in fields(cls.Config)}):
        raise CheckpointError(
            f"{folder} was trained by another version of medsynth, whose {name} had {', '.join(unknown)}; "
            "train it again."
        )
    method = cls(**config["plan"]["arguments"])
    method.load(weights)
    for net in method.modules().values():
        net.eval()
    return method.to(device)


def load_generator(folder: Path, device: torch.device | str = "cpu") -> Method:
    """The trained generator in `folder`; see `load`."""
    return load(folder, "generator", device)


def load_translator(folder: Path, device: torch.device | str = "cpu") -> Method:
    """The trained translator in `folder`; see `load`."""
    return load(folder, "translator", device)


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> Method:
    """The trained encoder in `folder`; see `load`."""
    return load(folder, "encoder", device)
