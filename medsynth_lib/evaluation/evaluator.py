"""The evaluator: all metrics of synthetic sets, with the same real subjects and feature spaces for every generator.

`Evaluator.measures` returns one number per measure (for parameter sweeps, and to test the measures themselves),
`Evaluator.report` a full record of one generator with intervals, floors, null distributions and controls. The test
subjects are not used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..core.portions import portions, spans
from ..core.trainer import fit
from ..data.joint import tensors_of
from ..data.slices import SliceSet
from ..metrics import anatomy, copying, memorization
from ..metrics.diversity import covered, diversity_with_ceiling, ms_ssim_of_pairs, neighbour_measures
from ..metrics.features import FeatureSpace, LayoutSpace, shrink, wavelets
from ..metrics.fidelity import distance_with_floor, frechet_distance, unbiased_mmd
from ..metrics.radiomics import radiomics
from ..models.encoder.simclr import SIDE, SimCLR, tensors_for
from ..models.registry import load_generator

DIMENSIONS = 16  # of every feature space; fewer for small holdout sets
RECONSTRUCTED = 512  # slices at once through a generator's autoencoder


def equal_mix(training: SliceSet, holdout: SliceSet, seed: int) -> SliceSet:
    """The slices of equally many training and held-out subjects, without labels, reduced to SIDE pixels.

    An encoder trained on training subjects only would represent them differently from held-out ones, so that distances
    to the two sets would not be comparable.
    """
    rng, subjects = np.random.default_rng(seed), training.unique_subjects()
    chosen = rng.permutation(subjects)[: len(holdout.unique_subjects())]
    rows = np.flatnonzero(np.isin(training.subjects, chosen))
    parts = (portions(training.images, rows), portions(holdout.images))
    images = np.concatenate([shrink(portion, SIDE) for part in parts for portion in part])
    return SliceSet(images, np.concatenate([training.subjects[rows], holdout.subjects]), channels=training.channels)


def train_encoder(
    training: SliceSet, holdout: SliceSet, folder: Path, images: int, seed: int, batch_size: int = 64
) -> tuple[SimCLR, dict]:
    """A SimCLR encoder trained on `images` images of the `equal_mix` of both sets, and the record of its training.

    Checkpoints are written to `folder`.
    """
    tensors = tensors_for(equal_mix(training, holdout, seed))
    encoder = SimCLR(tensors["images"].shape[1], tensors["images"].shape[-1])
    return encoder, fit(encoder, tensors, folder, images=images, batch_size=batch_size, seed=seed)


def reconstruct_holdout(folder: Path, holdout: SliceSet, device: str | torch.device = "cpu") -> np.ndarray | None:
    """Held-out images [N, C, H, W] reconstructed by the autoencoder of the generator in `folder`; None without one.

    A VAE, or a generator of its latents, cannot generate sharper images than these: images of unseen subjects with the
    blur of this decoder. The array is memory-mapped from a temporary file, which is deleted with the array.
    """
    generator = load_generator(folder, device)
    autoencoder = getattr(generator, "autoencoder", generator)
    if not hasattr(autoencoder, "reconstruct"):
        return None
    with tempfile.TemporaryFile() as file:
        for span in spans(len(holdout), RECONSTRUCTED):
            autoencoder.reconstruct(**tensors_of(holdout.select(span)))[0].cpu().numpy().tofile(file)
        return np.memmap(file, np.float32, "c", shape=holdout.images.shape)


class Evaluator:
    """All metrics of synthetic sets against the same real sets.

    training  real slices on which the generators were trained
    holdout   real slices of other subjects
    embed     encoder: images [N, C, H, W] -> features [N, D] of length 1
    Raises ValueError when a subject is in both sets.
    """

    def __init__(self, training: SliceSet, holdout: SliceSet, embed: Callable[[np.ndarray], np.ndarray], seed: int = 0):
        if both := set(training.subjects) & set(holdout.subjects):
            raise ValueError(
                f"{len(both)} subject(s) are in training and holdout ({min(both)}); the holdout needs unseen subjects."
            )
        self.training, self.holdout, self.embed, self.seed = training, holdout, embed, seed
        dimensions = max(2, min(DIMENSIONS, len(holdout) // 4))
        extractors = {"wavelets": wavelets, "radiomics": radiomics, "encoder": embed}
        self.spaces = {name: FeatureSpace(training.images, dimensions, how) for name, how in extractors.items()}
        self.layout = LayoutSpace(training.images)

    @cached_property
    def real_features(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{feature space: features [., D] of training and of holdout}."""
        return {name: (s(self.training.images), s(self.holdout.images)) for name, s in self.spaces.items()}

    @cached_property
    def real_layouts(self) -> tuple[np.ndarray, np.ndarray]:
        """Layout coordinates (see `LayoutSpace`) of training and holdout: two tables [., 12] in intensity units."""
        return self.layout(self.training.images), self.layout(self.holdout.images)

    @cached_property
    def real_embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """The encoder's features of training and holdout: two tables [., D], rows of length 1."""
        return self.embed(self.training.images), self.embed(self.holdout.images)

    @cached_property
    def anatomy_of_holdout(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Intensity tertiles [C, 2] of training, and the holdout's anatomical measures with these tertiles."""
        tertiles = anatomy.intensity_tertiles(self.training)
        return tertiles, anatomy.measures(self.holdout, tertiles)

    @cached_property
    def null(self) -> np.ndarray:
        """Largest correlation of every held-out slice with a training slice, the null distribution: [N]."""
        return memorization.best_correlation(self.holdout.images, self.training.images)[0]

    def measures(self, synthetic: SliceSet) -> dict[str, float]:
        """One number per measure of a synthetic set: {measure: distance (0 = equal), share, percent or score}."""
        found = {}
        for name, space in self.spaces.items():
            features = space(synthetic.images)
            found[f"Frechet, {name}"] = frechet_distance(features, self.real_features[name][1])
            found[f"MMD, {name}"] = unbiased_mmd(features, self.real_features[name][1])
        diversity = neighbour_measures(self.real_layouts[1], self.layout(synthetic.images))
        found |= {name: diversity[name] for name in ("density", "coverage", "recall")}
        found["MS-SSIM of pairs"] = ms_ssim_of_pairs(synthetic.images, synthetic.subjects, self.seed)
        found |= self.anatomy(synthetic)
        r, _ = memorization.best_correlation(synthetic.images, self.training.images)
        found["copies by correlation, %"] = 100 * float((r > np.quantile(self.null, memorization.QUANTILE)).mean())
        embeddings, (train, unseen) = self.embed(synthetic.images), self.real_embeddings
        cosine = copying.cosine_audit(embeddings, train, unseen, self.holdout.subjects, self.seed)
        found["copies by cosine, %"] = cosine["percent"]
        return found | copying.scores(embeddings, train, unseen, self.training.subjects, self.seed)

    def anatomy(self, synthetic: SliceSet) -> dict[str, float]:
        """Wasserstein distances to the holdout for lesion size, lesion place and tissue, means over their measures."""
        tertiles, real = self.anatomy_of_holdout
        found = anatomy.wasserstein(anatomy.measures(synthetic, tertiles), real)
        groups = {
            "lesion size": [name for name in found if name.startswith("area") or name == "slices with lesion"],
            "lesion place": [name for name in found if name.startswith("lesion, ")],
            "tissue": [name for name in found if name.split()[0] in (*anatomy.THIRDS, "foreground")],
        }
        return {name: float(np.nanmean([found[k] for k in keys])) for name, keys in groups.items() if keys}

    def report(self, synthetic: SliceSet, reconstructed: np.ndarray | None = None) -> dict:
        """All metrics of a synthetic set with their reference values.

        reconstructed  held-out images after the generator's autoencoder, as null of the copy audits by correlation
                       (see `memorization.copy_audit`) and by cosine
        Returns "distances" {space: `fidelity.distance_with_floor`}, "diversity" (`diversity.diversity_with_ceiling` and
        "ms_ssim"), "anatomy" (`anatomy.with_floor`), "subgroups" (`anatomy.subgroups`), "correlation"
        (`memorization.copy_audit`), "cosine" (`copying.cosine_audit`) and "scores" (`copying.with_null`).
        """
        embeddings, (train, unseen) = self.embed(synthetic.images), self.real_embeddings
        subjects = self.holdout.subjects
        distances = {
            name: distance_with_floor(space(synthetic.images), *self.real_features[name], subjects, self.seed)
            for name, space in self.spaces.items()
        }
        layout = self.layout(synthetic.images)
        diversity = diversity_with_ceiling(layout, *self.real_layouts, self.seed)
        sets = {"synthetic": synthetic, "real": self.holdout}
        groups = anatomy.subgroups(synthetic, self.training, self.holdout, covered(self.real_layouts[1], layout))
        diversity["ms_ssim"] = {name: ms_ssim_of_pairs(s.images, s.subjects, self.seed) for name, s in sets.items()}
        return {
            "distances": distances,
            "diversity": diversity,
            "anatomy": anatomy.with_floor(synthetic, self.training, self.holdout),
            "subgroups": groups,
            "correlation": memorization.copy_audit(
                synthetic.images, self.training, self.holdout, self.seed, reconstructed=reconstructed
            ),
            "cosine": copying.cosine_audit(
                embeddings, train, unseen if reconstructed is None else self.embed(reconstructed), subjects, self.seed
            ),
            "scores": copying.with_null(embeddings, train, unseen, (self.training.subjects, subjects), self.seed),
        }


def responses(evaluator: Evaluator, clean: list[SliceSet], faults: dict[str, Callable], seed: int) -> dict:
    """All measures of clean sets, and of the same sets with each fault.

    clean   real slices of further subjects, as a perfect generator would generate them
    faults  see `metrics.faults.faults`
    Returns {"clean": {measure: [value per set]}, "faults": {fault: {measure: [value per set]}}}.
    """
    rng = np.random.default_rng(seed)

    def values(sets: Iterable[SliceSet]) -> dict[str, list[float]]:
        rows = [evaluator.measures(slices) for slices in sets]
        return {name: [row[name] for row in rows] for name in rows[0]}

    planted = {name: values(plant(slices, rng) for slices in clean) for name, plant in faults.items()}
    return {"clean": values(clean), "faults": planted}


def z_scores(found: dict) -> dict[str, dict[str, float]]:
    """{fault: {measure: mean change by the fault in standard deviations of the clean sets}} from `responses`.

    A change is the difference between a clean set and the same set with the fault. For a measure that is equal for all
    clean sets the score is infinite if the fault changes it, and 0 otherwise.
    """
    out = {}
    for fault, measures in found["faults"].items():
        out[fault] = {}
        for name, values in measures.items():
            clean = np.array(found["clean"][name])
            change, spread = float((np.array(values) - clean).mean()), float(clean.std(ddof=1))
            without_spread = 0.0 if abs(change) < 1e-12 else float(np.copysign(np.inf, change))
            out[fault][name] = change / spread if spread > 1e-12 else without_spread
    return out
