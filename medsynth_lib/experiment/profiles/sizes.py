"""The names of all sizes and budgets, with their meaning and units; the numbers are in the .toml files.

Training lengths count *images seen* (`images`), so that a change of batch size keeps the budget. Side lengths are in
pixels, height = width. `patch` is the side of the squares of pixels that a network folds into channels.
Each class is one section of a .toml file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

FAMILY = ("progan", "stylegan1", "stylegan2", "stylegan3")  # the methods of notebook 03


@dataclass(frozen=True)
class DataSizes:
    """The slices of a run, for every notebook."""

    image_size: int  # pixels, height = width; a power of two
    subjects: int  # at most, of a public source; 0 = all it has
    slices_per_subject: int  # at most; 0 = all that satisfy the slice rule
    own_subjects: int  # at most, of the user's own images (folder:, classes:), in place of subjects; 0 = all


@dataclass(frozen=True)
class VAESizes:
    """Notebook 01."""

    images: int  # images seen in training
    batch_size: int
    width: int  # channels of the first level; doubled per level up to 4 x
    latent: int  # dimensions of z
    beta: float  # weight of the KL term at the end of its warm-up (Higgins 2017)
    learning_rate: float


@dataclass(frozen=True)
class DCGANSizes:
    """Notebook 02."""

    images: int
    batch_size: int
    width: int  # channels of the first level; doubled per level up to 4 x
    latent: int  # dimensions of z
    learning_rate: float  # of G; D's is twice as large
    collapse_images: int  # images seen by the second, deliberately collapsed training


@dataclass(frozen=True)
class StyleGANSizes:
    """ProGAN and StyleGAN 1, 2 and 3 of notebook 03; the same for all, so that they are compared at equal images."""

    images: int
    batch_size: int
    width: int  # channels at full size, doubled per halving
    fmap_max: int  # channels at most
    patch: int  # of G (and of ProGAN's D): its finest feature maps are 1 / patch of the image's side
    d_patch: int  # of the other Ds
    latent: int  # dimensions of z and w
    mapping_layers: int  # dense layers from z to w
    learning_rate: float
    gamma: float  # weight of R1 in StyleGAN 1, 2 and 3
    ada_images: int  # real images over which ADA's p can rise from 0 to 1
    progan_batches: int  # ProGAN's batches at low resolution: at most this many times the batch
    stylegan3_channels: tuple[int, int]  # StyleGAN 3's width and fmap_max: its layers work at twice the rate
    stylegan3_layers: int  # between its Fourier features and its image
    stylegan3_margin: int  # samples around its feature maps, on either side
    stylegan3_first_cutoff: float  # of its Fourier features, in cycles per image
    trained: tuple[str, ...]  # methods trained by default; the others are read from reference weights or left out


@dataclass(frozen=True)
class TranslationSizes:
    """CycleGAN in notebooks 04 and 08, and the experiments of 08."""

    images: int  # pairs of unrelated images seen by CycleGAN
    batch_size: int
    width: int  # channels of generators and discriminators at full size
    blocks: int  # residual blocks of the generators
    patch: int  # of the generators: 1, 2 or 4
    discriminator_layers: int  # strided convolutions: 3 see patches of 70 pixels, 2 of 34, 1 of 16
    learning_rate: float
    cycle_weight: float  # of the cycle loss
    identity_weight: float  # of the identity loss; 0 between contrasts
    pool_size: int  # generated images kept for the discriminators
    synthesis_images: int  # images seen by pix2pix and SPADE, which generate images from masks
    synthesis_width: int  # channels of their generators
    synthesis_learning_rate: float
    few_subjects: tuple[int, ...]  # training subjects of some arms, ascending; the last is 0 = all
    scanner_steps: int  # optimiser steps of the arms on one channel (08, experiment 1), where T1 shows lesions faintly
    arm_steps: int  # of its other arms; half of them for arms on synthetic images and before fine-tuning


@dataclass(frozen=True)
class DiffusionSizes:
    """The pixel model of notebook 05; its network is also used in 09 and 11."""

    images: int
    batch_size: int
    patch: int  # the U-Net works on patch x patch pixels folded into channels
    widths: tuple[int, ...]  # U-Net width per level; multiples of 8
    layers: int  # residual blocks per level
    attention: bool  # self-attention at the lowest level
    prediction_type: str  # the prediction target: "edm" = the paper's mixture, "sample" = the clean image
    p_mean: float  # mean of ln(sigma) in training (EDM's P_mean)
    p_std: float  # its standard deviation (EDM's P_std)
    learning_rate: float
    solver_steps: int  # network evaluations of the fast sampler

    @property
    def edm(self) -> dict[str, Any]:
        """The arguments of EDM, and of the methods that are made of it, without the shape and sigma_data."""
        return {name: value for name, value in vars(self).items() if name not in ("images", "batch_size")}


@dataclass(frozen=True)
class AblationSizes:
    """What notebook 05 compares besides its main training."""

    images: int  # images seen by each of the short trainings
    few_subjects: int  # subjects of the training on latents that is meant to memorize them
    few_images: int  # latents it sees
    n_eval_samples: int  # samples by which a training is evaluated
    n_sampler_samples: int  # samples by which samplers are compared; one sampler takes a thousand evaluations for each
    nfe: tuple[int, ...]  # network evaluations at which samplers are compared
    ancestral_steps: int  # of the reference, Ho et al.'s sampler; 1,000 at most


@dataclass(frozen=True)
class LatentSizes:
    """The VAE with a small KL weight of notebook 01, and the diffusion on its latents in 05."""

    latent: int  # dimensions of z
    beta: float  # weight of the VAE's KL term
    width: int  # units of the diffusion network
    blocks: int  # residual blocks of the diffusion network
    images: int  # latents seen by the diffusion network
    batch_size: int


@dataclass(frozen=True)
class SpatialSizes:
    """Notebook 09: its two stages, and two further pixel models."""

    autoencoder_images: int  # images seen by the autoencoder
    autoencoder_width: int  # its channels; a multiple of 8
    autoencoder_patch: int  # folded into channels before the autoencoder; latents have image_size / (2 patch) per side
    latent: int  # channels of the latents
    images: int  # latents seen by the diffusion model
    batch_size: int
    widths: tuple[int, ...]  # of its U-Net, per level; multiples of 8
    layers: int  # residual blocks per level
    attention: bool  # self-attention at the lowest level
    p_mean: float  # mean of ln(sigma) in training
    p_std: float  # its deviation
    lesion_size_groups: int  # groups of lesion sizes on which it is conditioned
    slice_level_groups: int  # groups of slice positions on which it is conditioned
    pixel_images: int  # images seen by the model from masks and by that of tiles, with 05's network
    tile: int  # pixels, height = width
    n_eval_samples: int  # samples of each evaluation
    cost_image_sizes: tuple[int, ...]  # pixels; image sizes whose cost is compared


@dataclass(frozen=True)
class RareSizes:
    """Notebook 11; its networks are those of 05."""

    head_images: int  # images of the most frequent class (the head of a long-tailed set)
    imbalance_ratio: float  # images of the most frequent class per image of the rarest
    class_images: int  # images seen by each of its three trainings
    unlabelled_images: int  # images seen by the model of images without labels
    labelled_slices: tuple[int, ...]  # numbers of labelled slices that are compared
    joint_images: int  # images seen by each joint VAE of images and labels
    steps: int  # optimiser steps of every segmenter
    n_samples: int  # slices sampled for a segmenter, and per class for the evaluation


@dataclass(frozen=True)
class FaultSizes:
    """Notebook 12, which plants faults to test the measures, and the encoder of 07, 10 and 12."""

    encoder_images: int  # images seen by the encoder of the evaluator
    clean_sets: int  # sets of further subjects with which 12 tests the measures
    clean_subjects: int  # in each of them


@dataclass(frozen=True)
class MemorizationSizes:
    """Notebook 10: many small trainings on slices downsampled to `image_size` pixels."""

    image_size: int  # pixels, height = width
    subjects: tuple[int, ...]  # in the training sets; 0 = all
    images: int  # images seen by each training
    batch_size: int
    seeds: int  # trainings of each case
    mitigated: int  # subjects in the trainings with a mitigation
    patch: int  # of the diffusion model
    widths: tuple[int, ...]  # of its U-Net, per level; multiples of 16, because one mitigation halves them
    p_mean: float  # mean of ln(sigma) in training
    p_std: float  # its deviation
    n_eval_samples: int  # samples of each evaluation


@dataclass(frozen=True)
class SegmentationSizes:
    """Notebook 06. Every arm takes equally many steps; see studies.segmentation_plan for what the arms are."""

    steps: int  # optimiser steps, equal in every arm
    batch_size: int
    widths: tuple[int, ...]  # of the U-Nets, per level
    learning_rate: float  # of the U-Nets
    seeds: int  # trainings of each main arm: real, each generator alone and with real
    other_seeds: int = 1  # of every other arm
    segmenters: tuple[str, ...] = ("unet",)
    swin_width: int = 24  # channels of the Swin transformer's first level; a multiple of 12
    swin_learning_rate: float = 5e-4
    validation_slices: int = 160  # at most, by which weights are chosen; 0 = all there are
    compared: tuple[str, ...] = ()  # generators that get arms; empty = all that the run trains
    plain: tuple[str, ...] = ()  # those of them whose main arms are trained without augmentation, too
    studied: str = ""  # the one that is mixed with few real subjects, in several amounts, bridged, pooled; "" = none
    subjects: tuple[int, ...] = (3, 9, 45)  # numbers of real subjects, without and with its synthetic slices
    own: tuple[int, ...] = (9,)  # numbers of subjects on which generators are trained, too; 0 = all
    own_images: int = 16_000  # images seen in each of these trainings
    amounts: tuple[int, ...] = (1, 3, 10)  # synthetic slices per real one
    amounts_at: tuple[int, ...] = (9,)  # numbers of real subjects at which these amounts are compared


@dataclass(frozen=True)
class Profile:
    """All sizes of a run, by section."""

    synthetic: int  # slices that each generator writes to disk
    bootstrap: int  # resamples of a confidence interval
    data: DataSizes
    vae: VAESizes
    dcgan: DCGANSizes
    stylegan: StyleGANSizes
    translation: TranslationSizes
    diffusion: DiffusionSizes
    ablation: AblationSizes
    latent: LatentSizes
    spatial: SpatialSizes
    rare: RareSizes
    faults: FaultSizes
    memorization: MemorizationSizes
    segmentation: SegmentationSizes

    def as_dict(self) -> dict:
        """Nested dictionaries, as they go into a run's record."""
        return asdict(self)

    def fingerprint(self) -> str:
        """16 hex digits that change when a size does: by which Snakemake runs jobs again after a file was edited."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]
