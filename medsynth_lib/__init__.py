"""medsynth: generative models for medical images, taught and measured. Notebooks use `import medsynth_lib as ms`."""

from __future__ import annotations

import importlib
import warnings

# diffusers asks for a widget progress bar that it never shows here
warnings.filterwarnings("ignore", message="IProgress not found")

# What a notebook uses, and where it lives; a module is imported when one of its names is first used.
_FACE = {
    "runs": ("Run", "start", "run_folder"),
    "training": ("fit",),
    "method": ("Method",),
    "sampling": ("sample_to_disk",),
    "reference": ("load_reference",),
    "metrics.plausibility": ("mask_report",),
    "plots": (
        "read_lines",
        "show_curve",
        "show_grid",
        "show_image",
        "show_intervals",
        "show_labels",
        "show_side_by_side",
        "show_slices",
        "show_training",
        "label_legend",
    ),
    "data.slices": ("SliceSet", "Split", "concatenate", "split_subjects"),
    "generators": ("GENERATORS", "load_generator"),
    "generators.vae": ("VAE",),
    "generators.dcgan": ("DCGAN",),
    "generators.progan": ("ProGAN",),
    "generators.stylegan1": ("StyleGAN1",),
    "generators.stylegan2": ("StyleGAN2",),
    "generators.stylegan3": ("StyleGAN3",),
    "generators.views": ("shift",),
    "generators.ddpm": ("DDPM",),
    "generators.edm": ("EDM",),
    "generators.patch_diffusion": ("PatchDiffusion",),
    "generators.class_diffusion": ("ClassDiffusion",),
    "generators.latent_diffusion": ("LatentDiffusion",),
    "generators.autoencoder": ("Autoencoder",),
    "generators.spatial_diffusion": ("SpatialDiffusion", "lesion_edges", "lesion_kinds"),
    "translators": ("load_translator",),
    "translators.unpaired": ("halves", "of_channels", "unpaired", "with_negative"),
    "translators.masks": ("edited", "with_head", "without_head"),
    "translators.attention": ("AttentionCycleGAN",),
    "translators.cyclegan": ("CycleGAN",),
    "translators.pix2pix": ("Pix2Pix",),
    "translators.spade": ("SPADE",),
    "translators.mask_diffusion": ("MaskDiffusion",),
    "segmenters.unet": ("UNetSegmenter",),
    "segmenters.diffusion_features": ("DiffusionFeatures",),
    "segmenters.arms": ("train_arm", "both", "require_masks"),
    "workers": ("side_by_side",),
}
_HOME = {name: module for module, names in _FACE.items() for name in names}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name == "joint":
        return importlib.import_module(".generators.joint", __name__)
    raise AttributeError(f"medsynth_lib has no {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
