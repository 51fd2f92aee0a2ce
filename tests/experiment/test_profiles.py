"""The table of sizes: complete, and ordered from small to large."""

from dataclasses import FrozenInstanceError, replace

import pytest

from medsynth_lib.experiment.profiles import MINUTES, PROFILES, profile


def test_the_profiles_grow():
    assert list(PROFILES) == ["smoke", "demo", "reference", "gpu", "paper", "family"] == list(MINUTES)
    names = ["smoke", "demo", "gpu", "paper"]
    for small, large in zip(names, names[1:], strict=False):
        a, b = PROFILES[small], PROFILES[large]
        assert a.data.image_size < b.data.image_size
        assert a.diffusion.images < b.diffusion.images and a.segmentation.steps < b.segmentation.steps


@pytest.mark.parametrize("name", PROFILES)
def test_sizes_fit_together(name):
    sizes = PROFILES[name]
    size, levels = sizes.data.image_size, len(sizes.diffusion.channels)
    assert size & (size - 1) == 0, "VAE and GAN halve the picture down to 4 pixels"
    assert size // sizes.diffusion.patch >= 2 ** (levels - 1)
    assert all(width % 8 == 0 for width in sizes.diffusion.channels), "group norm with 8 groups"


def test_a_profile_cannot_be_changed_or_get_unknown_keys():
    with pytest.raises(FrozenInstanceError):
        PROFILES["demo"].synthetic = 3
    with pytest.raises(TypeError, match="unexpected keyword"):
        replace(PROFILES["demo"].vae, betta=2.0)


def test_unknown_profile_lists_the_known():
    with pytest.raises(ValueError, match="known profiles: smoke, demo, reference, gpu, paper, family"):
        profile("large")


def test_reference_weights_are_made_from_the_demos_data():
    assert PROFILES["reference"].data == PROFILES["demo"].data


def test_the_family_is_compared_at_equal_images():
    sizes = PROFILES["family"]
    assert sizes.dcgan.images == sizes.stylegan.images and len(sizes.stylegan.trained) == 4
    assert sizes.data == PROFILES["demo"].data
