"""Which trainings notebook 06 compares. Imports no torch, because the Snakefile plans one job for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..experiment.profiles import Profile, SegmentationSizes
from ..models.registry import names

# Methods that are trained on an arm's few subjects alone, and what their names in the plan begin with
OWN = {"edm": "edm", "mask_diffusion": "masks"}
OWN_KINDS = {"edm": "edm", "masks first": "masks"}  # the same in words
SYNTHETIC_VALIDATION = 0.2  # of every generator's slices, never trained on (Akbar et al.: 20,000 of 100,000)
CHANNELS = 4  # assumed before the data are opened: BraTS's, the most of all sources


@dataclass(frozen=True)
class Arm:
    """What one segmenter is trained on. All arms take equally many steps, except for `effort`."""

    subjects: int | None = None  # real training subjects at most, a random subset; None = all, 0 = none
    synthetic: tuple[str, ...] = ()  # generators, in equal parts: the run's, or `own_generators`
    amount: int | None = None  # synthetic slices per real one, all shown equally often; None = all there are, 1 : 1
    augment: bool = True  # rotation, scaling, grey values
    bridged: bool = False  # half of the steps on the synthetic slices alone, then half on the real ones
    relabelled: bool = False  # a segmenter of all real training slices predicts the labels of the synthetic ones
    effort: int = 1  # times the steps of the other arms


@dataclass(frozen=True)
class OwnGenerator:
    """A generator that is trained on the real subjects of an arm, and on nobody else.

    method    "edm", image and mask jointly; or "mask_diffusion", which generates images for edited masks
    subjects  at most; None = all
    """

    name: str
    method: str
    subjects: int | None
    k: int  # repetition: that of the arm, so that both draw the same subjects

    @property
    def path(self) -> str:
        """Its folder below that of the run."""
        return f"own/{self.name}/{self.k}"


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
        found[f"real + {name}"] = Arm(None, (name,))
    return found


def other_arms(sizes: SegmentationSizes, generators: Iterable[str]) -> dict[str, Arm]:
    """Arms without augmentation ("plain"), and the study of one generator: how it is used, and with how many subjects.

    "real9" has 9 real subjects, "real9 + 3 edm" three synthetic slices for each of their slices.
    """
    generators = compared(sizes, generators)
    of_plain = main_arms(sizes, [name for name in generators if name in sizes.plain]) if sizes.plain else {}
    found = {f"{name} plain": replace(arm, augment=False) for name, arm in of_plain.items()}
    if (one := sizes.studied) not in generators:
        return found
    found["real longer"] = Arm(effort=2)
    found[f"{one} then real"] = Arm(None, (one,), bridged=True)
    found[f"{one} relabelled only"] = Arm(0, (one,), relabelled=True)
    if len(generators) > 1:
        found["all only"] = Arm(0, tuple(sorted(generators)))
        found["real + all"] = Arm(None, tuple(sorted(generators)))
    for n in sizes.subjects:
        found[real(n)] = Arm(n)
        if one in sizes.plain:
            found[f"{real(n)} plain"] = Arm(n, augment=False)
        found[f"{real(n)} + {one}"] = Arm(n, (one,))
        found[f"{one} then {real(n)}"] = Arm(n, (one,), bridged=True)
    for own in own_generators(sizes, generators):  # those of all repetitions have the same names
        found[f"{own.name} only"] = Arm(0, (own.name,))
        found[f"{real(own.subjects or 0)} + {own.name}"] = Arm(own.subjects, (own.name,))
        if not own.subjects:  # shared with those who have few; with few, a segmenter that relabels is bad
            found[f"{own.name} relabelled only"] = Arm(0, (own.name,), relabelled=True)
            found |= {f"{real(n)} + {own.name}": Arm(n, (own.name,)) for n in sizes.subjects}
    for n in sizes.amounts_at:
        for amount in sizes.amounts:
            found[f"{real(n)} + {amount} {one}"] = Arm(n, (one,), amount)
    return found


def real(subjects: int) -> str:
    """The name of the real slices of so many subjects: "real9"; "real" for 0, which means all."""
    return f"real{subjects or ''}"


def uses(sizes: SegmentationSizes, n: int) -> dict[str, str]:
    """How n real subjects (0 = all) may be used, in words, and the arm: the lines of 06's figure "when it pays".

    Not every arm is planned at every n.
    """
    one, few = sizes.studied, real(n)
    found = {
        "real, without augmentation": f"{few} plain",
        "real": few,
        f"real + {one} of all subjects": f"{few} + {one}",
        f"{one} of all subjects, then real": f"{one} then {few}",
        "real + masks first of all subjects": f"{few} + masks",
    }
    if n:
        found |= {f"real + {kind}, own generator": f"{few} + {name}{n}" for kind, name in OWN_KINDS.items()}
        found |= {f"{kind}, own generator alone": f"{name}{n} only" for kind, name in OWN_KINDS.items()}
    return found


def own_generators(sizes: SegmentationSizes, generators: Iterable[str]) -> list[OwnGenerator]:
    """The generators that are trained on few subjects alone, once per repetition: "edm9" and "masks9" for 9 of them.

    On all subjects (0) only "masks", because the run's own EDM was trained on them.
    """
    if sizes.studied not in compared(sizes, generators):
        return []
    wanted = [
        (f"{OWN[method]}{n or ''}", method, n or None) for n in sizes.own for method in OWN if n or method != "edm"
    ]
    return [OwnGenerator(*what, k) for what in wanted for k in range(sizes.other_seeds)]


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
