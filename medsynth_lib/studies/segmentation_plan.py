"""Which trainings notebook 06 compares. Imports no torch, because the Snakefile plans one job for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..experiment.profiles import Profile, SegmentationSizes
from ..models.registry import names

SYNTHETIC_VALIDATION = 0.2  # of every generator's slices, never trained on (Akbar et al.: 20,000 of 100,000)
CHANNELS = 4  # assumed before the data are opened: BraTS's, the most of all sources


@dataclass(frozen=True)
class Arm:
    """What one segmenter is trained on. All arms take equally many steps, except for `effort`."""

    real: float = 1.0  # share of the real training subjects; 0 = none
    synthetic: tuple[str, ...] = ()  # generators, in equal parts
    amount: int | None = None  # synthetic slices per real one, all shown equally often; None = all there are, 1 : 1
    augment: bool = True  # rotation, scaling, grey values
    bridged: bool = False  # half of the steps on the synthetic slices alone, then half on the real ones
    effort: int = 1  # times the steps of the other arms


@dataclass(frozen=True)
class Job:
    """One training: which segmenter, which arm, which repetition."""

    segmenter: str
    arm: str
    k: int

    @property
    def path(self) -> str:
        """Its folder below that of the run."""
        return f"arms/{self.segmenter}/{folder_name(self.arm)}/{self.k}"


def folder_name(arm: str) -> str:
    """The arm's name without spaces."""
    return arm.replace(" ", "_")


def check(segmenters: Iterable[str], size: int) -> None:
    """Raise ValueError for an unknown segmenter, and for the Swin transformer on images that it cannot take.

    size   pixels, height = width. MONAI's Swin encoder halves it five times and normalises what is left.
    """
    for name in segmenters:
        if name not in names("segmenter"):
            raise ValueError(f"unknown segmenter {name!r}; known segmenters: {', '.join(names('segmenter'))}.")
        if name == "swin" and (size < 64 or size % 32):
            raise ValueError(
                f"images of {size} pixels do not fit the Swin transformer, which needs a multiple of 32 from 64 on; "
                "choose another PROFILE, or the segmenter unet."
            )


def main_arms(sizes: SegmentationSizes, generators: Iterable[str]) -> dict[str, Arm]:
    """{real} and {each generator} x {alone, with real}; `sizes.compared` names the generators if not all."""
    found = {"real": Arm()}
    for name in compared(sizes, generators):
        found[f"{name} only"] = Arm(0, (name,))
        found[f"real + {name}"] = Arm(1, (name,))
    return found


def other_arms(sizes: SegmentationSizes, generators: Iterable[str]) -> dict[str, Arm]:
    """Arms without augmentation ("plain"), and the study of one generator.

    "real10" is 10 % of the real subjects, "real10 + 3 edm" has three synthetic slices for each of their slices.
    """
    generators = compared(sizes, generators)
    of_plain = main_arms(sizes, [name for name in generators if name in sizes.plain]) if sizes.plain else {}
    found = {f"{name} plain": replace(arm, augment=False) for name, arm in of_plain.items()}
    if (one := sizes.studied) not in generators:
        return found
    found["real longer"] = Arm(effort=2)
    found[f"{one} then real"] = Arm(1, (one,), bridged=True)
    if len(generators) > 1:
        found["all only"] = Arm(0, tuple(sorted(generators)))
        found["real + all"] = Arm(1, tuple(sorted(generators)))
    for share in sizes.fractions:
        found[few(share)] = Arm(share)
        found[f"{few(share)} + {one}"] = Arm(share, (one,))
    least = min(sizes.fractions)
    found[f"{one} then {few(least)}"] = Arm(least, (one,), bridged=True)
    for amount in sizes.amounts:
        found[f"{few(least)} + {amount} {one}"] = Arm(least, (one,), amount)
    return found


def few(share: float) -> str:
    """The name of a share of the real subjects: "real10" for 0.1."""
    return f"real{share * 100:.0f}"


def compared(sizes: SegmentationSizes, generators: Iterable[str]) -> list[str]:
    """Those of the generators that get arms in this profile, in their order."""
    return [name for name in generators if not sizes.compared or name in sizes.compared]


def arms(sizes: SegmentationSizes, generators: Iterable[str]) -> dict[str, Arm]:
    """All arms by name, the main ones first."""
    generators = list(generators)
    return main_arms(sizes, generators) | other_arms(sizes, generators)


def jobs(sizes: SegmentationSizes, generators: Iterable[str], segmenters: Iterable[str] = ()) -> list[Job]:
    """All trainings, for the profile's segmenters or those named."""
    generators = list(generators)
    repeated = {name: sizes.seeds for name in main_arms(sizes, generators)}
    repeated |= {name: sizes.other_seeds for name in other_arms(sizes, generators)}
    return [
        Job(segmenter, name, k)
        for segmenter in segmenters or sizes.segmenters
        for name, times in repeated.items()
        for k in range(times)
    ]


def slice_bytes(settings: Profile, channels: int = CHANNELS) -> int:
    """Bytes of one slice in memory or on disk: fp32 images and one byte per pixel of labels."""
    return settings.data.image_size**2 * (4 * channels + 1)


def held_bytes(settings: Profile, channels: int = CHANNELS) -> int:
    """Bytes of the slices in the largest training set: real and synthetic, 1 : 1."""
    return round(2 * (1 - SYNTHETIC_VALIDATION) * settings.synthetic * slice_bytes(settings, channels))
