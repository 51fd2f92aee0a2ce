"""What measures hold beside their input: twice as many slices, mapped from a file, must not take more memory.

Held is the peak of numpy's arrays (a mapped file is none) and the largest tensor of torch.
"""

import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medsynth_lib.core import portions
from medsynth_lib.data.foreground import foreground
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation import evaluator
from medsynth_lib.metrics import (
    anatomy,
    copying,
    diversity,
    features,
    fidelity,
    memorization,
    neighbours,
    overlap,
    plausibility,
    radiomics,
    surface,
)
from medsynth_lib.models.encoder import simclr
from medsynth_lib.models.encoder.local import LocalExtractor

FEW, SIDE = 60, 64
ROW = 3500  # bytes that a slice may add, in rows of numbers; its image has 32,768


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that an operation gave back."""

    bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        sizes = [x.untyped_storage().nbytes() for x in tree_leaves(found) if isinstance(x, torch.Tensor)]
        self.bytes = max(self.bytes, *sizes, 0)
        return found


def held(measure, *inputs) -> int:
    """Bytes at the peak, beyond the inputs; what it returns counts."""
    measure(*inputs)  # what is made once and kept, such as plans of transforms
    tracemalloc.start()
    try:
        with Largest() as torchs:
            kept = measure(*inputs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    del kept
    return peak + torchs.bytes


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Two slices of each subject, in a folder."""
    rng, n = np.random.default_rng(0), 2 * FEW
    y, x = np.mgrid[:SIDE, :SIDE]
    radius = rng.uniform(15, 28, (n, 1, 1))
    head = (y - 32) ** 2 + (x - 32) ** 2 < radius**2
    images = np.where(head[:, None], rng.uniform(-0.7, 1, (n, 2, SIDE, SIDE)), -1).astype(np.float32)
    labels = ((y - 28) ** 2 + (x - 36) ** 2 < (radius / 3) ** 2).astype(np.uint8)
    folder = tmp_path_factory.mktemp("stored") / "set"
    subjects = [f"p{i // 2}" for i in range(n)]
    SliceSet(images, subjects, labels, channels=("x", "y"), label_names=("none", "lesion")).save(folder)
    return folder


@pytest.fixture
def few_and_many(stored, monkeypatch):
    """The same set at FEW slices and at twice as many; all portions are small beside them."""
    for module, name, size in (
        (portions, "PORTION", 1),
        (portions, "CELLS", 20_000),
        (anatomy, "SLICES", 8),
        (memorization, "QUERIES", 16),
        (memorization, "BLOCK", 32),
        (neighbours, "BLOCK", 32),
        (fidelity, "ROWS", 50),
        (evaluator, "RECONSTRUCTED", 8),
        (copying, "STEPS", 2),
    ):
        monkeypatch.setattr(module, name, size)
    whole = SliceSet.load(stored)
    assert isinstance(whole.images, np.memmap) and isinstance(whole.labels, np.memmap)
    return whole.select(slice(0, FEW)), whole


def other_subjects(slices: SliceSet) -> SliceSet:
    return replace(slices, subjects=[f"other {name}" for name in slices.subjects])


def space(slices):
    return features.FeatureSpace(slices.images, 4)(slices.images)


def correlation(slices):
    return memorization.best_correlation(slices.images, slices.images, sigma=1.0)


def audit(slices):
    soft = memorization.filtered(slices.images[:8], 1.0)
    found = memorization.copy_audit(soft, slices, other_subjects(slices))
    assert found["smooth"]["sigma_pixels"] > 0, "the holdout was blurred"
    return found["r"]


def anatomy_with_floor(slices):
    return anatomy.with_floor(slices, slices, slices)


def groups(slices):
    return anatomy.subgroups(slices, slices, slices, np.ones(len(slices), bool))


def outlines(slices):
    return surface.surface_per_subject(slices.labels, slices.labels, slices.subjects, (1, 1), 1)


def embedding(slices):
    torch.manual_seed(0)
    return simclr.SimCLR(2, SIDE, width=8).embed(slices.images, batch_size=8)


OF_IMAGES = {
    "features": lambda slices: features.features(slices.images),
    "radiomics": lambda slices: radiomics.radiomics(slices.images),
    "feature space": space,
    "cuts": anatomy.intensity_tertiles,
    "anatomy": anatomy_with_floor,
    "subgroups": groups,
    "masks": plausibility.measures,
    "correlation": correlation,
    "roughness": lambda slices: memorization.roughness(slices.images),
    "audit": audit,
    "embedding": embedding,
    "overlap": lambda slices: overlap.dice_per_subject(slices.labels, slices.labels, slices.subjects, 2),
    "outlines": outlines,
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_a_slice_adds_rows_of_numbers_only(few_and_many, name):
    few, many = (held(OF_IMAGES[name], slices) for slices in few_and_many)
    assert many - few < FEW * ROW


def test_pairs_of_large_images_are_compared_a_few_at_a_time(few_and_many, monkeypatch):
    slices = few_and_many[0]
    found = [diversity.ms_ssim_of_pairs(slices.images, slices.subjects, 0, pairs=20)]
    few = [held(partial(diversity.ms_ssim_of_pairs, pairs=20), slices.images, slices.subjects, 0)]
    monkeypatch.setattr(portions, "SIDE", SIDE // 2)  # then these are large
    found += [diversity.ms_ssim_of_pairs(slices.images, slices.subjects, 0, pairs=20)]
    few += [held(partial(diversity.ms_ssim_of_pairs, pairs=20), slices.images, slices.subjects, 0)]
    assert found[1] == pytest.approx(found[0], abs=1e-6) and few[1] < few[0] / 2


def test_a_mask_of_the_foreground_is_all_that_is_held(few_and_many):
    """It has one byte per pixel, and is the answer."""
    for slices in few_and_many:
        assert held(foreground, slices.images) < 1.2 * slices.labels.nbytes + 8 * slices.images[0].nbytes


def test_an_extractor_from_a_file_takes_no_more_memory(few_and_many, tmp_path):
    torch.jit.trace(torch.nn.Conv2d(3, 5, 3), torch.zeros(1, 3, SIDE, SIDE)).save(str(tmp_path / "net.pt"))
    extract = partial(LocalExtractor(tmp_path / "net.pt", size=None), batch_size=8)
    few, many = (held(extract, slices.images) for slices in few_and_many)
    assert many - few < FEW * ROW


def test_a_decoder_reconstructs_a_few_slices_at_a_time(few_and_many, monkeypatch):
    class Decoder:
        def reconstruct(self, images, labels):
            return images * 0.5, labels

    monkeypatch.setattr(evaluator, "load_generator", lambda folder, device: Decoder())
    few, many = (held(partial(evaluator.reconstruct_holdout, "anywhere"), slices) for slices in few_and_many)
    assert many - few < FEW * ROW
    found = evaluator.reconstruct_holdout("anywhere", few_and_many[1])
    assert np.array_equal(found, few_and_many[1].images * np.float32(0.5))


OF_TABLES = {
    "nearest": neighbours.nearest,
    "radii": lambda a, b: diversity.radii(a, 5),
    "neighbours": diversity.neighbour_measures,
    "mean distance": lambda a, b: diversity.mean_distance(a),
    "MMD": fidelity.unbiased_mmd,
    "polynomial MMD": partial(fidelity.unbiased_mmd, kernel="polynomial"),
    "likelihood": lambda a, b: copying.likelihood_gap(a, b, b),
}


@pytest.mark.parametrize("name", OF_TABLES)
def test_no_table_of_all_pairs_is_held(few_and_many, name):
    """A row may add 200 bytes; with all pairs each added 24,000 or more."""
    tables = np.random.default_rng(0).normal(0, 1, (2, 2000, 3))
    few, many = (held(OF_TABLES[name], *tables[:, :n]) for n in (1000, 2000))
    assert many - few < 1000 * 200
