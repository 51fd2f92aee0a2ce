"""The cost of a comparison on this machine, before it starts: trainings, hours from measured steps, disk."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections import Counter
from pathlib import Path

import torch

from ..core.trainer import fit
from ..data.joint import Shape
from ..experiment.profiles import Profile, SegmentationSizes
from .arms import new_segmenter
from .segmentation_plan import CHANNELS, Job, arms, held_bytes, own_generators, slice_bytes

SECONDS = 3.0  # of training that are timed
CPU_PIXELS = 2**17  # in a batch at most, on a CPU: large batches gain nothing there, and may not fit
FLOAT = 4  # bytes


def images_per_second(segmenter: str, shape: Shape, sizes: SegmentationSizes) -> tuple[float, int]:
    """Training speed (images/s) of a segmenter on this machine, on noise of `shape`, and its number of parameters."""
    batch = sizes.batch_size
    if not torch.cuda.is_available():
        batch = min(batch, max(1, CPU_PIXELS // shape.size**2))
    data = {
        "images": torch.randn(batch, shape.channels, shape.size, shape.size).clamp(-1, 1),
        "labels": torch.randint(0, shape.labels, (batch, shape.size, shape.size), dtype=torch.uint8),
    }
    net = new_segmenter(segmenter, shape.channels, shape.labels, sizes)
    images = 2 * batch
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for _ in range(3):  # a warm-up, a first guess, the measurement
            record = fit(net, data, Path(folder), images=images, batch_size=batch, seed=0, force=True)
            images = max(2 * batch, SECONDS * record["images_per_second"])
    return record["images_per_second"], record["parameters"]


def estimate(
    settings: Profile, generators: list[str], jobs: list[Job], channels: int = CHANNELS, labels: int = 4
) -> str:
    """The estimate as text; by default `channels` and `labels` (with background) are those of BraTS."""
    sizes, shape = settings.segmentation, Shape(channels, labels, settings.data.image_size)
    known = arms(sizes, generators)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    budget, disk = sizes.steps * sizes.batch_size, 0
    lines = [f"  comparison: {len(known)} arms, {len(jobs)} trainings of {budget:,} images each"]
    for segmenter, trainings in Counter(job.segmenter for job in jobs).items():
        speed, parameters = images_per_second(segmenter, shape, sizes)
        images = sum(known[job.arm].effort + known[job.arm].relabelled for job in jobs if job.segmenter == segmenter)
        hours = images * budget / speed / 3600
        disk += trainings * parameters * FLOAT
        lines.append(
            f"    {segmenter}: {trainings} trainings, {parameters:,} parameters; {speed:,.3g} images/s measured here "
            f"({device}), {duration(hours)} in all"
        )
    each = settings.synthetic * slice_bytes(settings, channels)  # bytes of one generator's samples
    if own := own_generators(sizes, generators):
        lines.append(
            f"    own generators: {len(own)} trainings of {sizes.own_images:,} images each (not in these hours), "
            f"{size(len(own) * each)} of samples"
        )
    samples = len(generators) * each
    both = held_bytes(settings, channels)
    lines += [
        f"    memory: a training on both holds {size(both)} of slices, on the GPU if that is at most half of it",
        f"    disk: {size(samples)} of synthetic slices ({len(generators)} x {settings.synthetic:,}), {size(disk)} of "
        f"segmenters; {size(each)} more while a generator is sampled again, because its old slices stay until then",
    ]
    return "\n".join(lines)


def duration(hours: float) -> str:
    """Hours as text; minutes below ten hours."""
    return f"{hours:,.0f} hours" if hours >= 10 else f"{60 * hours:,.0f} minutes"


def size(n: float) -> str:
    """n bytes as text."""
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"
