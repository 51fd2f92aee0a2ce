"""Monitoring a generator during training: distance, recall and coverage with respect to held-out subjects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..data.slices import SliceSet
from ..metrics.diversity import neighbour_measures
from ..metrics.features import FeatureSpace, LayoutSpace
from ..metrics.fidelity import frechet_distance

if TYPE_CHECKING:
    from ..core.method import Method


def holdout_monitor(training: SliceSet, holdout: SliceSet, seed: int, n: int = 256) -> Callable[..., dict[str, float]]:
    """A `monitor` for `fit`: {"distance", "recall", "coverage"} of n samples with respect to the holdout.

    The Frechet distance uses `FeatureSpace`, recall and coverage `LayoutSpace`, both fitted to `training`. The monitor
    selects the published weights, so the distance to the same holdout in a later report is slightly too small. For a
    method that is not `publishable` yet, the key is "distance_growing", by which no weights are selected.
    """
    space = FeatureSpace(training.images, max(2, min(16, len(holdout) // 4)))
    layout = LayoutSpace(training.images)
    real, real_layout = space(holdout.images), layout(holdout.images)

    def monitor(method: Method, **sampling: Any) -> dict[str, float]:
        """The measures of samples of `method`; further arguments are those of its `sample`."""
        images = method.sample(max(n, 2 * real.shape[1]), seed, **sampling)[0].cpu().numpy()
        diversity = neighbour_measures(real_layout, layout(images))
        distance = frechet_distance(space(images), real)
        name = "distance" if method.publishable() else "distance_growing"
        return {name: distance, "recall": diversity["recall"], "coverage": diversity["coverage"]}

    return monitor
