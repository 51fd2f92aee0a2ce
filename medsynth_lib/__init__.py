"""medsynth: generative models for medical images, taught and measured. Notebooks use `import medsynth_lib as ms`."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

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

# The same names for editors and type checkers, which run nothing; a test keeps both in step.
if TYPE_CHECKING:
    from .data.slices import SliceSet as SliceSet
    from .data.slices import Split as Split
    from .data.slices import concatenate as concatenate
    from .data.slices import split_subjects as split_subjects
    from .generators import GENERATORS as GENERATORS
    from .generators import joint as joint
    from .generators import load_generator as load_generator
    from .generators.autoencoder import Autoencoder as Autoencoder
    from .generators.class_diffusion import ClassDiffusion as ClassDiffusion
    from .generators.dcgan import DCGAN as DCGAN
    from .generators.ddpm import DDPM as DDPM
    from .generators.edm import EDM as EDM
    from .generators.latent_diffusion import LatentDiffusion as LatentDiffusion
    from .generators.patch_diffusion import PatchDiffusion as PatchDiffusion
    from .generators.progan import ProGAN as ProGAN
    from .generators.spatial_diffusion import SpatialDiffusion as SpatialDiffusion
    from .generators.spatial_diffusion import lesion_edges as lesion_edges
    from .generators.spatial_diffusion import lesion_kinds as lesion_kinds
    from .generators.stylegan1 import StyleGAN1 as StyleGAN1
    from .generators.stylegan2 import StyleGAN2 as StyleGAN2
    from .generators.stylegan3 import StyleGAN3 as StyleGAN3
    from .generators.vae import VAE as VAE
    from .generators.views import shift as shift
    from .method import Method as Method
    from .metrics.plausibility import mask_report as mask_report
    from .plots import label_legend as label_legend
    from .plots import read_lines as read_lines
    from .plots import show_curve as show_curve
    from .plots import show_grid as show_grid
    from .plots import show_image as show_image
    from .plots import show_intervals as show_intervals
    from .plots import show_labels as show_labels
    from .plots import show_side_by_side as show_side_by_side
    from .plots import show_slices as show_slices
    from .plots import show_training as show_training
    from .reference import load_reference as load_reference
    from .runs import Run as Run
    from .runs import run_folder as run_folder
    from .runs import start as start
    from .sampling import sample_to_disk as sample_to_disk
    from .segmenters.arms import both as both
    from .segmenters.arms import require_masks as require_masks
    from .segmenters.arms import train_arm as train_arm
    from .segmenters.diffusion_features import DiffusionFeatures as DiffusionFeatures
    from .segmenters.unet import UNetSegmenter as UNetSegmenter
    from .training import fit as fit
    from .translators import load_translator as load_translator
    from .translators.attention import AttentionCycleGAN as AttentionCycleGAN
    from .translators.cyclegan import CycleGAN as CycleGAN
    from .translators.mask_diffusion import MaskDiffusion as MaskDiffusion
    from .translators.masks import edited as edited
    from .translators.masks import with_head as with_head
    from .translators.masks import without_head as without_head
    from .translators.pix2pix import Pix2Pix as Pix2Pix
    from .translators.spade import SPADE as SPADE
    from .translators.unpaired import halves as halves
    from .translators.unpaired import of_channels as of_channels
    from .translators.unpaired import unpaired as unpaired
    from .translators.unpaired import with_negative as with_negative
    from .workers import side_by_side as side_by_side

__all__ = sorted([*_HOME, "joint"])
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name == "joint":
        return importlib.import_module(".generators.joint", __name__)
    raise AttributeError(f"medsynth_lib has no {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
