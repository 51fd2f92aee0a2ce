"""The monitor: better samples have the smaller distance, copies of one image have no recall."""

import numpy as np
import torch

from medsynth_lib.data import phantom
from medsynth_lib.data.slices import split_subjects
from medsynth_lib.evaluation import monitor
from medsynth_lib.models.gan.progan import ProGAN


class FixedImages:
    """A generator that answers with given images."""

    def __init__(self, images):
        self.images = torch.from_numpy(images)

    def publishable(self):
        return True

    def sample(self, n, seed):
        return self.images[torch.arange(n) % len(self.images)], None


def test_real_subjects_are_close_and_varied_noise_is_far_and_one_image_is_not_varied():
    slices = phantom.simulate(40, image_size=32, slices_per_subject=4, seed=3)
    split = split_subjects(slices, 0)
    train, holdout = split.part(slices, "gen_train"), split.part(slices, "holdout")
    measure = monitor.holdout_monitor(train, holdout, seed=0, n=64)
    rng = np.random.default_rng(0)
    noisy = np.clip(train.images + 0.3 * rng.standard_normal(train.images.shape), -1, 1).astype(np.float32)
    real, noise, one = (measure(FixedImages(x)) for x in (train.images, noisy, train.images[:1].repeat(8, axis=0)))
    assert real["distance"] < 0.2 * noise["distance"]
    assert real["recall"] > 0.5 > one["recall"] and one["coverage"] < 0.1


def test_a_half_grown_progan_has_no_distance_that_could_choose_it():
    slices = phantom.simulate(8, image_size=16, slices_per_subject=4, seed=3)
    progan = ProGAN(4, 4, 16, width=4, fmap_max=4, latent=4)
    measure = monitor.holdout_monitor(slices, slices, seed=0, n=32)
    found = {}
    for growth in ((0, 1.0), (2, 0.5), (2, 1.0)):
        progan.generator.grow(*growth)
        found[growth] = set(measure(progan)) - {"recall", "coverage"}
    assert found == {(0, 1.0): {"distance_growing"}, (2, 0.5): {"distance_growing"}, (2, 1.0): {"distance"}}
