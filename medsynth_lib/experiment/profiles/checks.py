"""Checks that refuse sizes that cannot work, alone or together, before anything starts. Imports no torch.

Each rule is the least that a network or a study needs; whether the sizes are sensible is not checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from ...models.registry import names
from .sizes import FAMILY, Profile

Problem = tuple[str, object, str]  # "section.key", its value, what to do

MAY_BE_ZERO = {
    *("data.subjects", "data.slices_per_subject", "memorization.subjects", "translation.few_subjects"),  # 0 = all
    *("segmentation.validation_slices", "segmentation.own", "data.own_subjects"),  # 0 = all
    *("vae.beta", "latent.beta", "stylegan.gamma", "stylegan.stylegan3_margin"),
    *("translation.cycle_weight", "translation.identity_weight"),
}
ANY_SIGN = {"diffusion.p_mean", "spatial.p_mean", "memorization.p_mean"}
MAY_BE_EMPTY = {
    *("segmentation.compared", "segmentation.plain"),
    *("segmentation.subjects", "segmentation.own", "segmentation.amounts_at"),
}

GROUPS = 8  # of every group norm: channels are a multiple of it
HEAD = 32  # channels of an attention head
THINNED = 4  # times the subjects in notebook 10's thinned trainings (studies.memorization_plan.THINNED)
HELD_OUT = 0.2  # share of the subjects in each of holdout and test (data.slices.split_subjects)
STEPS = 1_000  # of Ho et al.'s noise schedule


def check(profile: Profile, path: Path) -> None:
    """Raise ValueError, one sentence with file, key and what to do, for the first size that cannot work."""
    for rule in (ranges, known_names, of_gans, of_diffusion, of_spatial, of_memory, of_others):
        for where, value, fix in rule(profile):
            section, _, key = where.rpartition(".")
            shown = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"{path}: {f'[{section}] ' if section else ''}{key} is {shown!r}; {fix}.")


def leaves(profile: Profile) -> Iterator[tuple[str, object]]:
    """("section.key", value) of every size."""
    for field in fields(profile):
        value = getattr(profile, field.name)
        if is_dataclass(value):
            yield from ((f"{field.name}.{inner.name}", getattr(value, inner.name)) for inner in fields(value))
        else:
            yield field.name, value


def ranges(profile: Profile) -> Iterator[Problem]:
    """Numbers are finite and positive, except where 0 has a meaning; lists are not empty."""
    for where, value in leaves(profile):
        if value == () and where not in MAY_BE_EMPTY:
            yield where, value, "write at least one value"
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (bool, str)):
                continue
            if not math.isfinite(number):
                yield where, value, "write a finite number"
            if number < 0 and where not in ANY_SIGN:
                yield where, value, "write no negative number"
            if number == 0 and where not in MAY_BE_ZERO | ANY_SIGN:
                yield where, value, "write a number above 0"


def known_names(profile: Profile) -> Iterator[Problem]:
    """Names are among those that the project knows."""
    arms = profile.segmentation
    generators = names("generator")
    for where, words, known in (
        ("stylegan.trained", profile.stylegan.trained, FAMILY),
        ("segmentation.segmenters", arms.segmenters, names("segmenter")),
        ("segmentation.compared", arms.compared, generators),
        ("segmentation.plain", arms.plain, generators),
    ):
        if not set(words) <= set(known):
            yield where, words, f"choose from {', '.join(known)}"
    if arms.studied and arms.studied not in generators:
        yield "segmentation.studied", arms.studied, f'choose from {", ".join(generators)}, or "" for none'
    if profile.diffusion.prediction_type not in ("edm", "sample"):
        yield "diffusion.prediction_type", profile.diffusion.prediction_type, "write edm or sample"


def power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def of_gans(profile: Profile) -> Iterator[Problem]:
    """VAE and GANs halve the image down to 4 pixels; pix2pix halves it five times."""
    size, gan = profile.data.image_size, profile.stylegan
    if not power_of_two(size) or size < 32:
        yield "data.image_size", size, "take a power of two from 32 on, which the networks can halve"
    if profile.vae.width % GROUPS:
        yield "vae.width", profile.vae.width, f"take a multiple of {GROUPS} for the group norm"
    # Notebook 03 grows ProGAN by three stages, of 4, 8 and 16 positions.
    for key, least in (("patch", 16), ("d_patch", 8)):
        patch = getattr(gan, key)
        if not power_of_two(patch) or patch > size // least:
            yield f"stylegan.{key}", patch, f"take a power of two up to {size // least} at image_size {size}"
    if gan.fmap_max < gan.width:
        yield "stylegan.fmap_max", gan.fmap_max, f"take at least the width, {gan.width}"
    if gan.stylegan3_channels[1] < gan.stylegan3_channels[0]:
        yield "stylegan.stylegan3_channels", gan.stylegan3_channels, "write the width, then a fmap_max not below it"
    if gan.stylegan3_first_cutoff >= size / 2:
        yield "stylegan.stylegan3_first_cutoff", gan.stylegan3_first_cutoff, f"take less than {size // 2}"
    cycle = profile.translation
    if cycle.patch not in (1, 2, 4):
        yield "translation.patch", cycle.patch, "take 1, 2 or 4"
    if size < 3 * 2**cycle.discriminator_layers:
        yield "translation.discriminator_layers", cycle.discriminator_layers, f"take fewer at image_size {size}"


def of_unet(where: str, widths: tuple[int, ...], side: int, what: str, attention: bool = False) -> Iterator[Problem]:
    """A U-Net has at most one level more than its `side` (positions of `what`) can be halved."""
    halvings = (side & -side).bit_length() - 1
    if len(widths) > halvings + 1:
        yield (
            *(where, widths),
            f"take at most {halvings + 1} levels, because {what} have {side} positions per side for the U-Net",
        )
    if any(width % GROUPS for width in widths):
        yield where, widths, f"take multiples of {GROUPS} for the group norm"
    if attention and widths[-1] < HEAD:
        yield where, widths, f"take at least {HEAD} at the lowest level for attention, or attention = false"


def divides(where: str, part: int, whole: int, what: str) -> Iterator[Problem]:
    """`part` divides `whole`."""
    if whole % part:
        yield where, part, f"take a divisor of {what}, {whole}"


def of_diffusion(profile: Profile) -> Iterator[Problem]:
    """The pixel model of notebook 05, and the comparisons there."""
    sizes, size, ablation = profile.diffusion, profile.data.image_size, profile.ablation
    yield from divides("diffusion.patch", sizes.patch, size, "image_size")
    yield from of_unet("diffusion.widths", sizes.widths, size // sizes.patch, "images", sizes.attention)
    if profile.latent.width < GROUPS:
        yield "latent.width", profile.latent.width, f"take at least {GROUPS}"
    if not all(4 <= n <= STEPS for n in ablation.nfe):
        yield "ablation.nfe", ablation.nfe, f"take numbers from 4 to {STEPS}"
    if ablation.ancestral_steps > STEPS:
        yield "ablation.ancestral_steps", ablation.ancestral_steps, f"take at most {STEPS}"


def of_spatial(profile: Profile) -> Iterator[Problem]:
    """Notebook 09: its U-Net works on latents; tiles, and images of several sizes, go through 05's network."""
    sizes, size, pixels = profile.spatial, profile.data.image_size, profile.diffusion
    fold = 2 * sizes.autoencoder_patch  # pixels per position of the latents
    if size % fold:
        yield "spatial.autoencoder_patch", sizes.autoencoder_patch, f"twice its value must divide image_size, {size}"
    if sizes.autoencoder_width % GROUPS:
        yield "spatial.autoencoder_width", sizes.autoencoder_width, f"take a multiple of {GROUPS}"
    yield from of_unet("spatial.widths", sizes.widths, size // fold, "latents", sizes.attention)
    tile = sizes.tile
    if tile > size or tile % 2:
        yield "spatial.tile", tile, f"take an even number up to image_size, {size}"
    for where, side in (("spatial.tile", tile), *(("spatial.cost_image_sizes", n) for n in sizes.cost_image_sizes)):
        step = pixels.patch * 2 ** (len(pixels.widths) - 1)
        if side % step:
            yield where, side, f"take a multiple of {step} for the patch and the levels of [diffusion]"
    for side in sizes.cost_image_sizes:
        step = fold * 2 ** (len(sizes.widths) - 1)
        if side % step or side < tile:
            yield "spatial.cost_image_sizes", side, f"take multiples of {step} from the tile's {tile} pixels on"


def of_memory(profile: Profile) -> Iterator[Problem]:
    """Notebook 10: downsampled slices, networks of half the width, and enough training subjects."""
    sizes, size, subjects = profile.memorization, profile.data.image_size, profile.data.subjects
    if not power_of_two(sizes.image_size) or not 16 <= sizes.image_size <= size:
        yield "memorization.image_size", sizes.image_size, f"take a power of two from 16 to image_size, {size}"
    yield from divides("memorization.patch", sizes.patch, sizes.image_size, "its image_size")
    yield from of_unet("memorization.widths", sizes.widths, sizes.image_size // sizes.patch, "its images")
    if any(width % (2 * GROUPS) for width in sizes.widths):
        yield "memorization.widths", sizes.widths, f"take multiples of {2 * GROUPS}, because one mitigation halves them"
    if not subjects:
        return  # all subjects of the source, a number not known yet
    if subjects < 3:
        yield "data.subjects", subjects, "take at least 3, one each for gen_train, holdout and test"
    trained = subjects - 2 * max(1, round(HELD_OUT * subjects))
    if max(sizes.subjects) > trained:
        yield (
            "memorization.subjects",
            sizes.subjects,
            f"take at most {trained}, the training subjects among {subjects}",
        )
    if THINNED * sizes.mitigated > trained:
        yield (
            "memorization.mitigated",
            sizes.mitigated,
            f"take at most {trained // THINNED}, with {trained} training subjects",
        )


def of_others(profile: Profile) -> Iterator[Problem]:
    """Segmenters, and the rarest class of notebook 11."""
    sizes, size, rare = profile.segmentation, profile.data.image_size, profile.rare
    if size % 2 ** len(sizes.widths):  # at least 2 x 2 positions at the lowest level, for the instance norm
        most = (size & -size).bit_length() - 1
        yield "segmentation.widths", sizes.widths, f"take at most {most} levels at image_size {size}"
    if sizes.swin_width % 12:
        yield "segmentation.swin_width", sizes.swin_width, "take a multiple of 12"
    if "swin" in sizes.segmenters and size < 64:
        yield "segmentation.segmenters", sizes.segmenters, f"swin needs an image_size from 64 on, not {size}"
    if sizes.own and sizes.studied and not set(sizes.own) <= {*sizes.subjects, 0}:
        yield "segmentation.own", sizes.own, "take numbers that are in subjects, or 0 for all"
    if not set(sizes.amounts_at) <= set(sizes.subjects):
        yield "segmentation.amounts_at", sizes.amounts_at, "take numbers that are in subjects"
    if round(rare.head_images / rare.imbalance_ratio) < 1 or rare.imbalance_ratio < 1:
        yield "rare.imbalance_ratio", rare.imbalance_ratio, f"take a number from 1 to head_images, {rare.head_images}"
