"""medsynth: generative models for medical images, taught and measured. Notebooks use `import medsynth_lib as ms`."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from .models.registry import METHODS

# diffusers asks for a widget progress bar that it never shows here
warnings.filterwarnings("ignore", message="IProgress not found")

# What a notebook uses besides the methods, and where it lives; modules are imported when a name is first used.
_FACE = {
    "core.method": ("Method",),
    "core.parallel": ("side_by_side",),
    "core.trainer": ("fit",),
    "data.foreground": ("foreground",),
    "data.masks": ("transplant_lesions", "with_head", "without_head"),
    "data.slices": ("SliceSet", "Split", "concatenate", "split_subjects"),
    "data.suitability": ("require_contrasts", "require_masks"),
    "data.unpaired": ("halves", "of_channels", "unpaired", "with_intensity_inversion"),
    "experiment.pretrained": ("load_reference",),
    "experiment.run": ("Run", "run_folder", "start"),
    "experiment.sampling": ("sample_to_disk",),
    "metrics.plausibility": ("mask_report",),
    "models.autoencoder.autoencoder": ("Autoencoder",),
    "models.diffusion.spatial_diffusion": ("lesion_edges", "lesion_kinds"),
    "models.gan.views": ("shift",),
    "models.registry": ("load_generator", "load_translator"),
    "models.segmentation.diffusion_features": ("DiffusionFeatures",),
    "plots": (
        "label_legend",
        "read_lines",
        "show_curve",
        "show_grid",
        "show_image",
        "show_intervals",
        "show_labels",
        "show_side_by_side",
        "show_slices",
        "show_training",
    ),
    "studies.arms": ("both", "train_arm"),
}
_HOME = {name: module for module, names in _FACE.items() for name in names}
_HOME |= {cls: f"models.{module}" for kind in METHODS.values() for module, cls in kind.values()}

# The same names for editors and type checkers, which run nothing; a test keeps both in step.
if TYPE_CHECKING:
    from .core.method import Method as Method
    from .core.parallel import side_by_side as side_by_side
    from .core.trainer import fit as fit
    from .data import joint as joint
    from .data.foreground import foreground as foreground
    from .data.masks import transplant_lesions as transplant_lesions
    from .data.masks import with_head as with_head
    from .data.masks import without_head as without_head
    from .data.slices import SliceSet as SliceSet
    from .data.slices import Split as Split
    from .data.slices import concatenate as concatenate
    from .data.slices import split_subjects as split_subjects
    from .data.suitability import require_contrasts as require_contrasts
    from .data.suitability import require_masks as require_masks
    from .data.unpaired import halves as halves
    from .data.unpaired import of_channels as of_channels
    from .data.unpaired import unpaired as unpaired
    from .data.unpaired import with_intensity_inversion as with_intensity_inversion
    from .experiment.pretrained import load_reference as load_reference
    from .experiment.run import Run as Run
    from .experiment.run import run_folder as run_folder
    from .experiment.run import start as start
    from .experiment.sampling import sample_to_disk as sample_to_disk
    from .metrics.plausibility import mask_report as mask_report
    from .models.autoencoder.autoencoder import Autoencoder as Autoencoder
    from .models.autoencoder.vae import VAE as VAE
    from .models.diffusion.class_diffusion import ClassDiffusion as ClassDiffusion
    from .models.diffusion.ddpm import DDPM as DDPM
    from .models.diffusion.edm import EDM as EDM
    from .models.diffusion.latent_diffusion import LatentDiffusion as LatentDiffusion
    from .models.diffusion.patch_diffusion import PatchDiffusion as PatchDiffusion
    from .models.diffusion.spatial_diffusion import SpatialDiffusion as SpatialDiffusion
    from .models.diffusion.spatial_diffusion import lesion_edges as lesion_edges
    from .models.diffusion.spatial_diffusion import lesion_kinds as lesion_kinds
    from .models.encoder.simclr import SimCLR as SimCLR
    from .models.gan.dcgan import DCGAN as DCGAN
    from .models.gan.progan import ProGAN as ProGAN
    from .models.gan.stylegan1 import StyleGAN1 as StyleGAN1
    from .models.gan.stylegan2 import StyleGAN2 as StyleGAN2
    from .models.gan.stylegan3 import StyleGAN3 as StyleGAN3
    from .models.gan.views import shift as shift
    from .models.registry import load_generator as load_generator
    from .models.registry import load_translator as load_translator
    from .models.segmentation.diffusion_features import DiffusionFeatures as DiffusionFeatures
    from .models.segmentation.swin import SwinSegmenter as SwinSegmenter
    from .models.segmentation.unet import DynUNetSegmenter as DynUNetSegmenter
    from .models.segmentation.unet import UNetSegmenter as UNetSegmenter
    from .models.translation.attention import AttentionCycleGAN as AttentionCycleGAN
    from .models.translation.cyclegan import CycleGAN as CycleGAN
    from .models.translation.mask_diffusion import MaskDiffusion as MaskDiffusion
    from .models.translation.pix2pix import Pix2Pix as Pix2Pix
    from .models.translation.spade import SPADE as SPADE
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
    from .studies.arms import both as both
    from .studies.arms import train_arm as train_arm

__all__ = sorted([*_HOME, "joint"])
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name == "joint":
        return importlib.import_module(".data.joint", __name__)
    raise AttributeError(f"medsynth_lib has no {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
