"""What a comparison would cost: counts and disk against a count by hand, speed from a real training."""

from dataclasses import replace

from medsynth_lib import estimate
from medsynth_lib.profiles import PROFILES
from medsynth_lib.segmenters.plan import jobs


def test_counts_hours_and_disk(monkeypatch):
    monkeypatch.setattr(estimate, "images_per_second", lambda *_: (100.0, 250_000))
    smoke = PROFILES["smoke"]
    settings = replace(smoke, segmentation=replace(smoke.segmentation, steps=450_000, batch_size=8))
    planned = jobs(settings.segmentation, ["edm"])
    assert len(planned) == 12, "3 main, 3 plain, longer, bridged; of a quarter: alone, with edm, bridged, 3 : 1"
    text = estimate.estimate(settings, ["edm"], planned)
    assert "12 arms, 12 trainings of 3,600,000 images each" in text
    assert "130 hours" in text, "eleven of ten hours, and one of twice as many"
    assert "0.000836 GB of synthetic slices (1 x 48), 0.012 GB of segmenters" in text  # 48 x 32 x 32 x (4 x 4 + 1)


def test_the_speed_is_that_of_a_training(monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.1)
    sizes = PROFILES["smoke"].segmentation
    speed, parameters = estimate.images_per_second("unet", estimate.Shape(4, 4, 32), sizes)
    assert 10 < speed < 100_000 and 10_000 < parameters < 20_000
