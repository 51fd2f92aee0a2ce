"""Generators that were trained on the few real subjects of an arm of notebook 06 alone, as jobs: train, sample, audit.

usage: python -m medsynth_lib.studies.own_generators NAME K [--profile demo] [--data phantom] [--seed 0]

NAME is named as in `segmentation_plan`; on 9 subjects: edm9 (image and mask jointly), masks9 (images for edited masks).
Each job writes runs/<profile>/<data>/seed<seed>/own/<NAME>/<K>/samples and metrics.json, as a whole, at its end.

Those of few subjects are trained with random affine transforms: without, diffusion copies them all (notebook 10).
On all subjects (masks), training is as in notebook 05.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core.locks import own_turn
from ..core.method import Method
from ..core.parallel import completed
from ..core.trainer import fit
from ..data import joint
from ..data.augment import random_affine
from ..data.slices import SliceSet
from ..evaluation.report import ReportError
from ..experiment import options
from ..experiment.profiles import Profile
from ..experiment.run import Run, start
from ..experiment.sampling import sample_to_disk
from ..metrics.memorization import copy_audit
from ..models.diffusion.edm import EDM, deviation
from ..models.translation.mask_diffusion import MaskDiffusion, region_means
from . import segmentation_plan
from .arms import some_subjects
from .jobs import code, kept, read, status
from .memorization import small
from .segmentation_plan import OwnGenerator

KEPT = ("percent", "ci95", "n")  # of an audit
VIEWS = 6_000  # randomly transformed training slices, all together, among which the audit searches for copies
PIXELS = 64  # at most, in the audit
REGION_WEIGHT = 10.0  # of lesions in the loss of masks first (results/map)
AUDITED = 400  # samples at most that the audit reads


@dataclass
class MasksFirst:
    """Masks first, images second (Zhang et al. 2025, GenSeg, in part): edited training masks, and images for them.

    The paper also learns the edits from the segmenter's validation loss; these are random (`random_affine`). The masks
    have no label for the head, because its outline would identify a training subject. The intensities of an edited
    mask's regions are those of the slice that it comes from.
    """

    images: MaskDiffusion  # with `region_means`
    labels: Tensor  # uint8 [N, H, W], the training masks
    means: Tensor  # of their regions [N, K, C]
    name: str = "masks_first"

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels uint8 [n, H, W]; every mask is chosen equally often, in random order."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self.labels), generator=generator)[torch.arange(n) % len(self.labels)]
        masks = edited(self.labels[chosen], seed)
        return self.images.translate(masks, seed, self.means[chosen]), masks


def edited(labels: Tensor, seed: int) -> Tensor:
    """Masks uint8 [N, H, W], each moved by a random affine transform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return random_affine({"images": labels[:, None].float(), "labels": labels})["labels"]


def of(run: Run, k: int) -> dict[str, OwnGenerator]:
    """The run's plan for repetition k, by name."""
    sizes = run.settings.segmentation
    return {own.name: own for own in segmentation_plan.own_generators(sizes, [sizes.studied]) if own.k == k}


def trained(own: OwnGenerator, real: SliceSet, run: Run) -> tuple[Method | MasksFirst, dict]:
    """The generator trained on the slices `real`, ready to be sampled, and the record of its training."""
    settings = run.settings
    sizes = settings.diffusion
    images = settings.segmentation.own_images if own.subjects else sizes.images
    shape, tensors = joint.shape_of(real), joint.tensors_of(real)
    run.seed_all(f"init{own.k}")
    if own.method == "mask_diffusion":
        regions = {"region_means": True, "region_weight": REGION_WEIGHT}
        method = MaskDiffusion(**vars(shape), sigma_data=deviation(tensors, 0), **regions, **sizes.edm)
    else:
        method = EDM(**vars(shape), sigma_data=deviation(tensors, shape.labels), **sizes.edm)
    record = fit(
        method,
        tensors,
        run.folder,
        images=images,
        batch_size=sizes.batch_size,
        seed=run.seed_of(f"fit{own.k}"),
        augment=random_affine if own.subjects else None,
        ema_images=images / 20,
    )
    if own.method == "mask_diffusion":
        return MasksFirst(method, tensors["labels"], region_means(**tensors, n_labels=shape.labels)), record
    return method, record


def views(real: SliceSet, seed: int) -> SliceSet:
    """The slices and about VIEWS random affine transforms of them, as the generators saw them; without masks."""
    images, tensors, times = [real.images], joint.tensors_of(real), max(1, VIEWS // len(real))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images += [random_affine(tensors)["images"].numpy() for _ in range(times)]
    repeated = {name: np.tile(getattr(real, name), times + 1) for name in ("subjects", "levels")}
    return replace(real, images=np.concatenate(images), labels=None, classes=None, facts={}, **repeated)


def audit(samples: SliceSet, real: SliceSet, holdout: SliceSet, seed: int) -> dict[str, dict]:
    """Percent of samples that are copies of training slices, turned and scaled ones included, by null distribution."""
    samples, real, holdout = (small(part, PIXELS) for part in (samples, real, holdout))
    found = copy_audit(samples.images[:AUDITED], views(real, seed), holdout, seed)
    return {null: {key: found[null][key] for key in KEPT} for null in ("smooth", "plain")}


def request(own: OwnGenerator, settings: Profile, data: dict[str, str]) -> dict:
    """All that a generator depends on; a result with another request is stale."""
    sizes = {**asdict(settings.diffusion), "own_images": settings.segmentation.own_images}
    whole = {"own": asdict(own), "sizes": sizes, "synthetic": settings.synthetic, "code": code(), **data}
    return json.loads(json.dumps(whole))  # as it is read back


def found(run: Run, own: OwnGenerator) -> dict:
    """Its metrics with "folder"; ReportError when it was not trained, or with other sizes, data or code."""
    if metrics := read(run.root / own.path, request(own, run.settings, run.data_hashes())):
        return metrics
    raise ReportError(f"{own.path} was not trained yet; run medsynth_lib.studies.own_generators {own.name} {own.k}.")


def measure(own: OwnGenerator, profile: str, data: str, seed: int) -> None:
    """Train one generator, sample it and search its samples for copies. A result of the same request is kept."""
    run = start(own.path, profile, data, seed)
    with own_turn(run.folder, own.path):
        asked = request(own, run.settings, run.data_hashes())
        if kept(run.folder, own.path, asked):
            return
        real = some_subjects(run.part("gen_train"), own.subjects, run.seed_of(f"arm{own.k}"))
        method, record = trained(own, real, run)
        samples, speed = sample_to_disk(method, run.settings.synthetic, run.seed_of("sample"), real, run.folder)
        run.finish(
            request=asked,
            subjects=len(real.unique_subjects()),
            slices=len(real),
            training=record,
            sampling=speed,
            copies=audit(samples, real, run.part("holdout"), run.seed_of("audit")),
        )


def results(run: Run, generators: Iterable[str]) -> dict[OwnGenerator, dict]:
    """All of the run's plan; those that are missing or stale are trained now, side by side.

    generators  those of the run: without the one that is studied, there are no such arms
    """
    data, planned = run.data_hashes(), segmentation_plan.own_generators(run.settings.segmentation, generators)

    def find(own: OwnGenerator) -> dict | None:
        return read(run.root / own.path, request(own, run.settings, data))

    return completed(planned, find, lambda own: partial(measure, own, run.profile_source, run.data, run.seed))


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("python -m medsynth_lib.studies.own_generators", __doc__.splitlines()[0])
    parser.add_argument("name", help="as in segmentation_plan: edm9, masks9, ...")
    parser.add_argument("k", type=options.whole(0), help="repetition, from 0 on")
    options.add_run(parser)
    asked = parser.parse_args(arguments)
    path = f"own/{asked.name}/{asked.k}"

    def work() -> None:
        known = of(start(path, asked.profile, asked.data, asked.seed), asked.k)
        if asked.name not in known:
            raise ValueError(f"unknown generator {asked.name!r}; known in this profile: {', '.join(known) or 'none'}.")
        measure(known[asked.name], asked.profile, asked.data, asked.seed)

    return status(path, work)


if __name__ == "__main__":
    sys.exit(main())
