"""One judge for all: real people, the spaces fitted to them, and every measure of a synthetic set beside its floor.

Two ways to ask: `measures` gives one number per measure (for sweeps, and to test the measures themselves), `report`
gives the record of one generator with intervals, floors, nulls and controls. The test people are not opened.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

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

DIMENSIONS = 16  # of every space, fewer where there are few real slices
DECODED = 512  # slices at once through a generator's decoder


def equal_mix(training: SliceSet, holdout: SliceSet, seed: int) -> SliceSet:
    """The slices of as many training people as there are held-out ones, and of these; averaged down to SIDE pixels.

    An encoder that had learned from training people alone would know them better than the held-out ones, and every
    distance to them would be another kind of distance. Only pictures and people: labels stay behind.
    """
    rng, people = np.random.default_rng(seed), training.unique_subjects()
    some = rng.permutation(people)[: len(holdout.unique_subjects())]
    rows = np.flatnonzero(np.isin(training.subjects, some))
    parts = (portions(training.images, rows), portions(holdout.images))
    images = np.concatenate([shrink(portion, SIDE) for part in parts for portion in part])
    return SliceSet(images, np.concatenate([training.subjects[rows], holdout.subjects]), channels=training.channels)


def train_encoder(training: SliceSet, holdout: SliceSet, folder: Path, images: int, seed: int, batch_size: int = 64):
    """The SimCLR encoder of an equal mix of both, and the record of its training."""
    tensors = tensors_for(equal_mix(training, holdout, seed))
    encoder = SimCLR(tensors["images"].shape[1], tensors["images"].shape[-1])
    return encoder, fit(encoder, tensors, folder, images=images, batch_size=batch_size, seed=seed)


def softened(folder: Path, holdout: SliceSet, device="cpu") -> np.ndarray | None:
    """Held-out images as the decoder of the generator in `folder` gives them back; None for one without an encoder.

    A VAE, and what draws its codes, cannot draw sharper than this: pictures of people it never saw, with its own blur.
    The array lies in a file without a name, which is gone when the array is.
    """
    generator = load_generator(folder, device)
    coder = getattr(generator, "autoencoder", generator)
    if not hasattr(coder, "reconstruct"):
        return None
    with tempfile.TemporaryFile() as file:
        for span in spans(len(holdout), DECODED):
            coder.reconstruct(**tensors_of(holdout.select(span)))[0].cpu().numpy().tofile(file)
        return np.memmap(file, np.float32, "c", shape=holdout.images.shape)


class Judge:
    """training, holdout  real people who did and did not train the generators; embed  images -> features of length 1.

    Raises ValueError when a person stands in both.
    """

    def __init__(self, training: SliceSet, holdout: SliceSet, embed: Callable, seed: int = 0):
        if both := set(training.subjects) & set(holdout.subjects):
            raise ValueError(f"{len(both)} subject(s) are in training and holdout ({min(both)}); judge by new people.")
        self.training, self.holdout, self.embed, self.seed = training, holdout, embed, seed
        dimensions = max(2, min(DIMENSIONS, len(holdout) // 4))
        extractors = {"wavelets": wavelets, "radiomics": radiomics, "encoder": embed}
        self.spaces = {name: FeatureSpace(training.images, dimensions, how) for name, how in extractors.items()}
        self.layout = LayoutSpace(training.images)

    @cached_property
    def clouds(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Features of training and holdout in each space."""
        return {name: (s(self.training.images), s(self.holdout.images)) for name, s in self.spaces.items()}

    @cached_property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """Coarse pictures of training and holdout: two tables [., 12] in intensity units."""
        return self.layout(self.training.images), self.layout(self.holdout.images)

    @cached_property
    def embedded(self) -> tuple[np.ndarray, np.ndarray]:
        """The encoder's features of training and holdout: two tables [., D], rows of length 1."""
        return self.embed(self.training.images), self.embed(self.holdout.images)

    @cached_property
    def anatomy_of_holdout(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Where training tissue is parted into thirds [C, 2], and the holdout's measures by these cuts."""
        cuts = anatomy.tissue_cuts(self.training)
        return cuts, anatomy.measures(self.holdout, cuts)

    @cached_property
    def null(self) -> np.ndarray:
        """Best correlation of every held-out slice with a training slice: [N]."""
        return memorization.best_correlation(self.holdout.images, self.training.images)[0]

    def measures(self, synthetic: SliceSet) -> dict[str, float]:
        """One number per measure: distances (0 = alike), shares, percents and scores, as their functions have them."""
        found = {}
        for name, space in self.spaces.items():
            cloud = space(synthetic.images)
            found[f"Frechet, {name}"] = frechet_distance(cloud, self.clouds[name][1])
            found[f"MMD, {name}"] = unbiased_mmd(cloud, self.clouds[name][1])
        variety = neighbour_measures(self.coarse[1], self.layout(synthetic.images))
        found |= {name: variety[name] for name in ("density", "coverage", "recall")}
        found["MS-SSIM of pairs"] = ms_ssim_of_pairs(synthetic.images, synthetic.subjects, self.seed)
        found |= self.anatomy(synthetic)
        r, _ = memorization.best_correlation(synthetic.images, self.training.images)
        found["copies by correlation, %"] = 100 * float((r > np.quantile(self.null, memorization.QUANTILE)).mean())
        own, (train, unseen) = self.embed(synthetic.images), self.embedded
        cosine = copying.cosine_audit(own, train, unseen, self.holdout.subjects, self.seed)
        found["copies by cosine, %"] = cosine["percent"]
        return found | copying.scores(own, train, unseen, self.training.subjects, self.seed)

    def anatomy(self, synthetic: SliceSet) -> dict[str, float]:
        """Wasserstein distances to the holdout: lesion size, lesion place, tissue (means over their measures)."""
        cuts, real = self.anatomy_of_holdout
        found = anatomy.wasserstein(anatomy.measures(synthetic, cuts), real)
        groups = {
            "lesion size": [name for name in found if name.startswith("area") or name == "slices with lesion"],
            "lesion place": [name for name in found if name.startswith("lesion, ")],
            "tissue": [name for name in found if name.split()[0] in (*anatomy.THIRDS, "foreground")],
        }
        return {name: float(np.nanmean([found[k] for k in keys])) for name, keys in groups.items() if keys}

    def report(self, synthetic: SliceSet, softened: np.ndarray | None = None) -> dict:
        """Everything about one set, each with its floor or null: "distances" per space, "variety", "anatomy",
        "subgroups", "correlation", "cosine", "scores". `softened`: see `memorization.copy_audit`; the cosine's null is
        softened, too.
        """
        own, (train, unseen), people = self.embed(synthetic.images), self.embedded, self.holdout.subjects
        distances = {
            name: distance_with_floor(space(synthetic.images), *self.clouds[name], people, self.seed)
            for name, space in self.spaces.items()
        }
        coarse = self.layout(synthetic.images)
        variety = diversity_with_ceiling(coarse, *self.coarse, self.seed)
        sets = {"synthetic": synthetic, "real": self.holdout}
        groups = anatomy.subgroups(synthetic, self.training, self.holdout, covered(self.coarse[1], coarse))
        variety["ms_ssim"] = {name: ms_ssim_of_pairs(s.images, s.subjects, self.seed) for name, s in sets.items()}
        return {
            "distances": distances,
            "variety": variety,
            "anatomy": anatomy.with_floor(synthetic, self.training, self.holdout),
            "subgroups": groups,
            "correlation": memorization.copy_audit(
                synthetic.images, self.training, self.holdout, self.seed, softened=softened
            ),
            "cosine": copying.cosine_audit(
                own, train, unseen if softened is None else self.embed(softened), people, self.seed
            ),
            "scores": copying.with_null(own, train, unseen, (self.training.subjects, people), self.seed),
        }


def responses(judge: Judge, clean: list[SliceSet], faults: dict[str, Callable], seed: int) -> dict:
    """What every measure says of clean sets and of the same sets with each fault.

    clean   slices of real people whom the judge does not know: what a perfect generator would draw
    faults  see `metrics.faults.faults`
    Returns {"clean": {measure: [value per set]}, "faults": {fault: {measure: [value per set]}}}.
    """
    rng = np.random.default_rng(seed)

    def values(sets: Iterable[SliceSet]) -> dict[str, list[float]]:
        rows = [judge.measures(slices) for slices in sets]
        return {name: [row[name] for row in rows] for name in rows[0]}

    planted = {name: values(plant(slices, rng) for slices in clean) for name, plant in faults.items()}
    return {"clean": values(clean), "faults": planted}


def z_scores(found: dict) -> dict[str, dict[str, float]]:
    """{fault: {measure: mean change by the fault, in standard deviations of the clean sets}} of `responses`.

    Changes are taken set by set, so that only the fault differs. A measure that is the same for all clean sets gets
    infinity where a fault moves it, and 0 where not.
    """
    out = {}
    for fault, measures in found["faults"].items():
        out[fault] = {}
        for name, values in measures.items():
            clean = np.array(found["clean"][name])
            change, spread = float((np.array(values) - clean).mean()), float(clean.std(ddof=1))
            still = 0.0 if abs(change) < 1e-12 else float(np.copysign(np.inf, change))
            out[fault][name] = change / spread if spread > 1e-12 else still
    return out
