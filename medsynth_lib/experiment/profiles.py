"""Every size and budget of the project, in one table: smoke, demo, reference, gpu, paper, family.

Training lengths count *images seen* (kimg where they are long), so that a change of batch size keeps the budget.
A notebook never asks which profile it runs in; it reads the numbers below from `run.settings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class DataSizes:
    image_size: int  # pixels, height = width
    subjects: int  # at most; 0 = all the source has
    slices_per_subject: int  # at most; 0 = all that satisfy the slice rule


@dataclass(frozen=True)
class VAESizes:
    images: int  # images seen in training
    batch_size: int
    width: int  # channels of the first level; doubled per level up to 4 x
    latent: int  # dimensions of z
    beta: float  # weight of the KL term at the end of its warm-up (Higgins 2017)
    learning_rate: float


@dataclass(frozen=True)
class DCGANSizes:
    images: int
    batch_size: int
    width: int
    latent: int
    learning_rate: float
    collapse_images: int  # images seen by the second, deliberately collapsed training


@dataclass(frozen=True)
class StyleGANSizes:
    """ProGAN and StyleGAN 1, 2 and 3 of notebook 03; the same for all, so that they are compared at equal images."""

    images: int
    batch_size: int
    width: int  # channels at full size
    most: int  # channels at most
    patch: int  # of G (and of ProGAN's D): its finest feature maps are 1 / patch of the picture's side
    d_patch: int  # of the other Ds
    latent: int
    mapping: int  # layers from z to w
    learning_rate: float
    gamma: float  # weight of R1 in StyleGAN 1, 2 and 3
    ada_images: float  # real images in which ADA's p may go from 0 to 1
    low_batches: int  # ProGAN's batches at low resolution: at most this many times the batch
    thin: tuple[int, int]  # width and most of StyleGAN 3, whose layers work at twice the rate
    depth: int  # layers of StyleGAN 3
    margin: int  # samples around StyleGAN 3's feature maps
    first_cutoff: float  # of StyleGAN 3's waves, in cycles per picture
    trained: tuple[str, ...]  # methods trained by default; the others are read from reference weights or left out


@dataclass(frozen=True)
class DiffusionSizes:
    """The pixel model of notebook 05."""

    images: int
    batch_size: int
    patch: int  # the U-Net works on patch x patch pixels folded into channels
    channels: tuple[int, ...]  # U-Net width per level
    layers: int  # residual blocks per level
    attention: bool  # self-attention at the lowest level
    draws: str  # what the network draws (see generators.edm): small ones the picture
    levels: tuple[float, float]  # mean and deviation of ln(sigma) in training
    learning_rate: float
    solver_steps: int  # network evaluations of the fast sampler


@dataclass(frozen=True)
class RaceSizes:
    """What notebook 05 compares besides its main training."""

    images: int  # images seen by each of the short trainings
    few_subjects: int  # people of the training on codes that is meant to remember them
    few_images: int  # codes it sees
    looks: int  # samples by which is judged
    sampler_looks: int  # samples by which samplers are compared; one of them takes a thousand evaluations for each
    nfe: tuple[int, ...]  # network evaluations at which samplers are compared
    ancestral: int  # steps of the yardstick, Ho et al.'s sampler


@dataclass(frozen=True)
class LatentSizes:
    """The loose VAE of notebook 01 (little KL weight) and the diffusion on its latents in 05."""

    latent: int  # dimensions of z
    beta: float  # weight of the VAE's KL term
    width: int
    blocks: int
    images: int  # latents seen
    batch_size: int


@dataclass(frozen=True)
class SpatialSizes:
    """Notebook 09: its two stages, and two further models of pixels."""

    coder_images: int  # images seen by the autoencoder
    coder_width: int
    latent: int  # channels of the code
    patch: int  # folded into channels before the autoencoder
    images: int  # codes seen by the diffusion model
    batch_size: int
    widths: tuple[int, ...]  # of its U-Net
    layers: int
    attention: bool
    levels: tuple[float, float]  # mean and deviation of ln(sigma) in training
    groups: int  # of lesion sizes that can be asked for
    heights: int  # groups of slice levels that can be asked for
    pixel_images: int  # images seen by the model of masks and by that of tiles; their networks are those of 05
    tile: int  # pixels, height = width
    looks: int  # samples by which is judged
    compared: tuple[int, ...]  # image sizes whose cost is compared


@dataclass(frozen=True)
class RareSizes:
    """Notebook 11; its networks are those of 05."""

    frequent: int  # pictures of the most frequent class
    ratio: float  # of these to those of the rarest
    class_images: int  # images seen by each of its three trainings
    image_images: int  # images seen by the model of images without labels
    labelled: tuple[int, ...]  # slices with labels, in three settings
    joint_images: int  # images seen by each VAE that learns from so few
    steps: int  # of every segmenter
    drawn: int  # slices drawn for a segmenter, and per class to judge


@dataclass(frozen=True)
class JudgingSizes:
    """Notebooks 07 and 12."""

    encoder_images: int  # seen by the encoder that is trained to judge
    clean_sets: int  # of fresh people, by which 12 judges the measures
    clean_people: int  # in each of them


@dataclass(frozen=True)
class MemorySizes:
    """Notebook 10: many small trainings on slices averaged down to `size` pixels."""

    size: int
    people: tuple[int, ...]  # in the training sets; 0 = all
    images: int  # images seen by each training
    batch_size: int
    seeds: int
    remedied: int  # people in the trainings with a remedy
    patch: int  # of the diffusion model
    widths: tuple[int, ...]
    levels: tuple[float, float]  # mean and deviation of ln(sigma) in training
    looks: int  # samples by which each look is judged


@dataclass(frozen=True)
class TranslationSizes:
    """CycleGAN in notebooks 04 and 08, and the experiments of 08."""

    images: int  # pairs of unrelated pictures seen by CycleGAN
    batch_size: int
    width: int
    blocks: int
    patch: int  # of the generators
    levels: int  # of the discriminators
    learning_rate: float
    cycle: float  # weight of the way back
    identity: float  # weight of the identity; 0 between contrasts
    pool: int  # fakes kept for the discriminators
    drawn_images: int  # pictures seen by pix2pix and SPADE, which draw from masks
    drawn_width: int  # of their generators
    drawn_learning_rate: float
    few: tuple[int, ...]  # subjects in the arms with few; 0 = all
    scanner_steps: int  # optimiser steps of the arms on one channel (08, experiment 1): T1 shows lesions faintly
    arm_steps: int  # of its other arms; half of them for arms on drawn images and before fine-tuning


@dataclass(frozen=True)
class SegmentationSizes:
    """Notebook 06. Every arm takes equally many steps; see studies.segmentation_plan for what the arms are."""

    steps: int  # optimiser steps, equal in every arm
    batch_size: int
    channels: tuple[int, ...]  # of the U-Nets
    learning_rate: float  # of the U-Nets
    seeds: int  # trainings of each main arm: real, each generator alone and with real
    other_seeds: int = 1  # of every other arm
    segmenters: tuple[str, ...] = ("unet",)
    swin: tuple[int, float] = (24, 5e-4)  # channels of the Swin transformer's first level, its learning rate
    validation: int = 160  # slices at most by which weights are chosen (0 = all there are)
    compared: tuple[str, ...] = ()  # generators that get arms; empty = all that the run trains
    plain: tuple[str, ...] = ()  # those of them whose main arms are trained without augmentation, too
    studied: str = ""  # the one that is mixed with few real subjects, in several amounts, bridged, pooled; "" = none
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5)  # of the real subjects, without and with synthetic slices
    amounts: tuple[int, ...] = (1, 3, 10)  # synthetic slices per real one, at the smallest of these fractions


@dataclass(frozen=True)
class Profile:
    data: DataSizes
    vae: VAESizes
    dcgan: DCGANSizes
    stylegan: StyleGANSizes
    translation: TranslationSizes
    diffusion: DiffusionSizes
    race: RaceSizes
    latent: LatentSizes
    spatial: SpatialSizes
    rare: RareSizes
    judging: JudgingSizes
    memory: MemorySizes
    segmentation: SegmentationSizes
    synthetic: int  # slices that each generator writes to disk
    bootstrap: int  # resamples of a confidence interval

    def as_dict(self) -> dict:
        return asdict(self)


FAMILY = ("progan", "stylegan1", "stylegan2", "stylegan3")

PROFILES = {
    "smoke": Profile(
        data=DataSizes(image_size=32, subjects=20, slices_per_subject=4),
        vae=VAESizes(640, 16, 8, 16, 1.0, 2e-3),
        dcgan=DCGANSizes(320, 16, 8, 16, 2e-4, 160),
        stylegan=StyleGANSizes(160, 16, 8, 8, 2, 2, 16, 2, 3.5e-3, 2.0, 2_000, 2, (8, 8), 3, 4, 4.0, FAMILY),
        translation=TranslationSizes(64, 8, 4, 1, 4, 1, 5e-4, 10.0, 0.0, 16, 32, 4, 6e-4, (3, 0), 4, 4),
        diffusion=DiffusionSizes(160, 16, 2, (16, 32), 1, False, "picture", (0.0, 1.4), 1e-3, 10),
        race=RaceSizes(64, 3, 640, 16, 16, (4, 8), 16),
        latent=LatentSizes(16, 1.0, 32, 1, 640, 16),
        spatial=SpatialSizes(64, 8, 2, 2, 64, 16, (8, 16), 1, False, (0.0, 1.4), 2, 2, 64, 16, 16, (16, 32)),
        rare=RareSizes(12, 6, 64, 64, (2, 4), 64, 8, 24),
        judging=JudgingSizes(640, 2, 8),
        memory=MemorySizes(32, (3, 0), 160, 16, 1, 3, 4, (16, 32), (0.0, 1.6), 24),
        segmentation=SegmentationSizes(
            20,
            8,
            (8, 16, 32),
            2e-3,
            1,
            swin=(12, 5e-4),
            validation=16,
            compared=("latent_diffusion", "edm"),
            plain=("edm",),
            studied="edm",
            fractions=(0.25,),
            amounts=(3,),
        ),
        synthetic=48,
        bootstrap=200,
    ),
    "demo": Profile(
        data=DataSizes(image_size=64, subjects=300, slices_per_subject=8),
        vae=VAESizes(80_000, 16, 32, 64, 12.0, 2e-3),
        dcgan=DCGANSizes(60_000, 16, 16, 64, 1e-3, 8_000),
        stylegan=StyleGANSizes(
            24_000, 8, 16, 128, 2, 4, 64, 2, 3.5e-3, 2.0, 20_000, 1, (8, 64), 5, 4, 4.0, ("stylegan2",)
        ),
        translation=TranslationSizes(
            4_000, 2, 16, 4, 2, 2, 5e-4, 10.0, 0.0, 50, 8_000, 8, 6e-4, (5, 10, 0), 1_500, 1_000
        ),
        diffusion=DiffusionSizes(50_000, 8, 4, (64, 96, 128), 1, False, "picture", (0.0, 1.6), 1e-3, 10),
        race=RaceSizes(6_000, 20, 300_000, 128, 48, (5, 10, 20, 50), 1_000),
        latent=LatentSizes(64, 1.0, 768, 4, 300_000, 256),
        spatial=SpatialSizes(
            16_000, 32, 8, 2, 24_000, 32, (64, 96), 1, True, (0.0, 1.4), 3, 3, 16_000, 32, 256, (32, 64, 128)
        ),
        rare=RareSizes(1_000, 100, 10_000, 16_000, (5, 20, 100), 20_000, 500, 240),
        judging=JudgingSizes(30_000, 6, 60),
        memory=MemorySizes(32, (5, 20, 80, 0), 24_000, 16, 2, 5, 4, (64, 96, 128), (0.0, 1.6), 250),
        segmentation=SegmentationSizes(1_000, 16, (16, 32, 64, 128), 2e-3, 2, plain=("edm",), studied="edm"),
        synthetic=1_440,
        bootstrap=2000,
    ),
    # The demo's data and networks with an hour of CPU: makes the weights in results/reference. Its U-Net is smaller,
    # because a committed model may have at most 4 MB.
    "reference": Profile(
        data=DataSizes(image_size=64, subjects=300, slices_per_subject=8),
        vae=VAESizes(320_000, 16, 32, 64, 12.0, 2e-3),
        dcgan=DCGANSizes(240_000, 16, 16, 64, 1e-3, 8_000),
        stylegan=StyleGANSizes(60_000, 8, 16, 128, 2, 4, 64, 2, 3.5e-3, 2.0, 50_000, 1, (8, 64), 5, 4, 4.0, FAMILY),
        translation=TranslationSizes(
            4_000, 2, 16, 4, 2, 2, 5e-4, 10.0, 0.0, 50, 8_000, 8, 6e-4, (5, 10, 0), 1_500, 1_000
        ),
        diffusion=DiffusionSizes(320_000, 8, 4, (48, 72, 88), 1, False, "picture", (0.0, 1.6), 1e-3, 10),
        race=RaceSizes(6_000, 20, 300_000, 128, 48, (5, 10, 20, 50), 1_000),
        latent=LatentSizes(64, 1.0, 768, 4, 300_000, 256),
        spatial=SpatialSizes(
            16_000, 32, 8, 2, 24_000, 32, (64, 96), 1, True, (0.0, 1.4), 3, 3, 16_000, 32, 256, (32, 64, 128)
        ),
        rare=RareSizes(1_000, 100, 10_000, 16_000, (5, 20, 100), 20_000, 500, 240),
        judging=JudgingSizes(30_000, 6, 60),
        memory=MemorySizes(32, (5, 20, 80, 0), 24_000, 16, 2, 5, 4, (64, 96, 128), (0.0, 1.6), 250),
        segmentation=SegmentationSizes(1_000, 16, (16, 32, 64, 128), 2e-3, 1),
        synthetic=1_440,
        bootstrap=2000,
    ),
    "gpu": Profile(
        data=DataSizes(image_size=128, subjects=600, slices_per_subject=16),
        vae=VAESizes(2_000_000, 128, 64, 256, 1.0, 1e-3),
        dcgan=DCGANSizes(2_000_000, 64, 64, 128, 2e-4, 200_000),
        stylegan=StyleGANSizes(
            2_000_000, 64, 32, 256, 1, 1, 256, 2, 2.5e-3, 5.0, 500_000, 4, (32, 256), 14, 10, 2.0, FAMILY
        ),
        translation=TranslationSizes(
            200_000, 8, 64, 9, 1, 3, 2e-4, 10.0, 0.0, 50, 200_000, 64, 2e-4, (5, 10, 0), 8_000, 8_000
        ),
        # The demo's recipe: after 43 s on an H200 samples teach a U-Net .94 of the real Dice. Double width, patch 2,
        # attention and the paper's target, which stood here before, came to .21 (results/gpu).
        diffusion=DiffusionSizes(3_000_000, 64, 4, (64, 96, 128), 1, False, "picture", (0.0, 1.6), 1e-3, 10),
        race=RaceSizes(300_000, 20, 5_000_000, 1_000, 1_000, (5, 10, 20, 50), 1_000),
        latent=LatentSizes(512, 1.0, 1_024, 6, 5_000_000, 512),
        spatial=SpatialSizes(
            1_000_000,
            64,
            8,
            1,
            5_000_000,
            256,
            (128, 256),
            2,
            True,
            (0.0, 1.4),
            3,
            3,
            1_000_000,
            64,
            2_000,
            (64, 128, 256),
        ),
        rare=RareSizes(5_000, 100, 1_000_000, 1_000_000, (5, 20, 100), 200_000, 4_000, 2_000),
        judging=JudgingSizes(300_000, 10, 60),
        memory=MemorySizes(64, (5, 20, 80, 0), 500_000, 64, 3, 20, 2, (128, 192, 256), (0.0, 1.6), 1_000),
        segmentation=SegmentationSizes(
            4_000,
            32,
            (32, 64, 128, 256, 512),
            1e-3,
            3,
            other_seeds=3,
            segmenters=("dynunet", "swin"),
            swin=(48, 3e-4),
            validation=1_000,
            plain=("edm",),
            studied="edm",
        ),
        synthetic=10_000,
        bootstrap=2000,
    ),
    "paper": Profile(
        data=DataSizes(image_size=256, subjects=0, slices_per_subject=0),
        vae=VAESizes(10_000_000, 128, 64, 256, 1.0, 5e-4),
        dcgan=DCGANSizes(10_000_000, 64, 64, 128, 2e-4, 500_000),
        stylegan=StyleGANSizes(
            25_000_000, 32, 32, 512, 1, 1, 512, 8, 2.5e-3, 8.0, 500_000, 4, (32, 512), 14, 10, 2.0, FAMILY
        ),
        translation=TranslationSizes(
            1_000_000, 4, 64, 9, 1, 3, 2e-4, 10.0, 0.0, 50, 1_000_000, 64, 2e-4, (5, 10, 0), 50_000, 50_000
        ),
        diffusion=DiffusionSizes(15_000_000, 128, 2, (128, 256, 256, 512), 2, True, "mixture", (0.8, 1.6), 1e-4, 30),
        race=RaceSizes(1_000_000, 20, 50_000_000, 2_000, 2_000, (5, 10, 20, 50), 1_000),
        latent=LatentSizes(1_024, 1.0, 2_048, 8, 50_000_000, 1_024),
        spatial=SpatialSizes(
            5_000_000,
            64,
            8,
            2,
            20_000_000,
            256,
            (128, 256, 256),
            2,
            True,
            (0.0, 1.4),
            3,
            3,
            5_000_000,
            128,
            10_000,
            (128, 256, 512),
        ),
        rare=RareSizes(5_000, 100, 3_000_000, 5_000_000, (5, 20, 100), 1_000_000, 10_000, 2_000),
        judging=JudgingSizes(1_000_000, 10, 60),
        memory=MemorySizes(128, (5, 20, 80, 0), 2_000_000, 64, 5, 20, 2, (128, 192, 256), (0.5, 1.6), 2_000),
        # Akbar et al.: 3.2e7 presentations in every arm, five generators, 22 arms, 10 trainings of each. They chose SGD
        # for the U-Net (lr 2e-2, momentum 0.99) and Swin-B with UPerNet; here it is AdamW, and MONAI's SwinUNETR.
        segmentation=SegmentationSizes(
            666_667,
            48,
            (64, 128, 256, 512, 1024, 2048),
            1e-3,
            10,
            other_seeds=10,
            segmenters=("dynunet", "swin"),
            swin=(96, 6e-5),
            validation=0,
            compared=(*FAMILY, "edm"),
            plain=(*FAMILY, "edm"),
        ),
        synthetic=100_000,
        bootstrap=2000,
    ),
}

# The demo with all five GANs at equal images seen, one segmenter each; for several seeds: makes results/family.
demo = PROFILES["demo"]
PROFILES["family"] = replace(
    demo,
    dcgan=replace(demo.dcgan, images=16_000),
    stylegan=replace(demo.stylegan, images=16_000, trained=FAMILY),
    segmentation=replace(demo.segmentation, seeds=1, plain=(), studied=""),
)

# Minutes per notebook on 2 CPU cores of a rented server (110 images/s in `make bench`; slow ones take up to twice as
# long, a recent laptop less). Measured alone on both cores: 05, 06 with its trainings, 07, 08, 09, 10 with its
# trainings, 12; on one core beside others: 01 to 04; 11 on one core, halved where its parts run side by side. 01 to 04
# run side by side on one core each. "together" is the core, a sum of these parts. Empty where nobody measured yet.
MINUTES: dict[str, dict[str, float]] = {
    "smoke": {
        "00_data": 0.5,
        "01_vae": 0.3,
        "02_dcgan": 0.3,
        "03_stylegan": 0.4,
        "04_cyclegan": 0.2,
        "05_ddpm": 0.4,
        "06_segmentation": 0.3,
        "07_evaluation": 0.3,
        "08_translation_for_segmentation": 0.3,
        "09_latent_diffusion": 0.3,
        "10_memorization": 0.5,
        "11_rare_and_unlabelled": 0.4,
        "12_measures_measured": 0.4,
        "together": 3,
    },
    "demo": {
        "00_data": 1,
        "01_vae": 10,
        "02_dcgan": 4,
        "03_stylegan": 6,
        "04_cyclegan": 9,
        "05_ddpm": 19,
        "06_segmentation": 15,
        "07_evaluation": 2,
        "08_translation_for_segmentation": 13,
        "09_latent_diffusion": 9,
        "10_memorization": 20,
        "11_rare_and_unlabelled": 22,
        "12_measures_measured": 5,
        "together": 52,
    },
    "reference": {},
    "gpu": {},
    "paper": {},
    "family": {},
}


def profile(name: str) -> Profile:
    """The profile called `name`; ValueError with the known names otherwise."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; known profiles: {', '.join(PROFILES)}.")
    return PROFILES[name]
