"""Watching a GAN while it trains: distance and recall against held-out people, on a fixed schedule."""

from __future__ import annotations

from ..data.slices import SliceSet
from ..metrics.diversity import neighbour_measures
from ..metrics.features import FeatureSpace, LayoutSpace
from ..metrics.fidelity import frechet_distance


def against(training: SliceSet, holdout: SliceSet, seed: int, n: int = 256):
    """A `monitor` for `fit`: {"distance", "recall", "coverage"} of n samples against the holdout (never the test part).

    Distance in the features of the full picture, recall and coverage in coarse pictures; spaces fitted to `training`.
    The holdout so chooses the published weights: its distance in a later report is slightly too good.
    Of a method that is not `publishable` yet the distance is called "distance_growing", and chooses nothing.
    """
    space = FeatureSpace(training.images, max(2, min(16, len(holdout) // 4)))
    layout = LayoutSpace(training.images)
    real, coarse = space(holdout.images), layout(holdout.images)

    def judge(method, **how) -> dict[str, float]:
        images = method.sample(max(n, 2 * real.shape[1]), seed, **how)[0].cpu().numpy()
        variety = neighbour_measures(coarse, layout(images))
        distance = frechet_distance(space(images), real)
        name = "distance" if method.publishable() else "distance_growing"
        return {name: distance, "recall": variety["recall"], "coverage": variety["coverage"]}

    return judge
