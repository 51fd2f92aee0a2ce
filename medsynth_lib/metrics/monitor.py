"""Watching a GAN while it trains: distance and recall against held-out people, on a fixed schedule."""

from __future__ import annotations

from ..data.slices import SliceSet
from .diversity import neighbour_measures
from .fidelity import FeatureSpace, LayoutSpace, frechet_distance


def growing(method) -> bool:
    """Whether the generator of `method` is one that grows, and has not reached its full size yet."""
    net = getattr(method, "generator", None)
    return hasattr(net, "stages") and not (net.stage == net.stages - 1 and float(net.alpha) == 1)


def against(training: SliceSet, holdout: SliceSet, seed: int, n: int = 256):
    """A `monitor` for `fit`: {"distance", "recall", "coverage"} of n samples against the holdout (never the test part).

    Distance in the features of the full picture, recall and coverage in coarse pictures; spaces fitted to `training`.
    The holdout so chooses the published weights: its distance in a later report is slightly too good.
    While a network still grows (ProGAN) its distance is called "distance_growing": enlarged pictures may be near in
    texture by chance, but a half-grown network is nothing to publish.
    """
    space = FeatureSpace(training.images, max(2, min(16, len(holdout) // 4)))
    layout = LayoutSpace(training.images)
    real, coarse = space(holdout.images), layout(holdout.images)

    def judge(method) -> dict[str, float]:
        images = method.sample(max(n, 2 * real.shape[1]), seed)[0].cpu().numpy()
        variety = neighbour_measures(coarse, layout(images))
        distance = frechet_distance(space(images), real)
        name = "distance_growing" if growing(method) else "distance"
        return {name: distance, "recall": variety["recall"], "coverage": variety["coverage"]}

    return judge
