"""What a comparison would cost: counts and disk against a count by hand, speed from a real training."""

from dataclasses import replace

from medsynth_lib.experiment.profiles import PROFILES
from medsynth_lib.studies import estimate
from medsynth_lib.studies.segmentation_plan import jobs


def test_counts_hours_and_disk(monkeypatch):
    monkeypatch.setattr(estimate, "images_per_second", lambda *_: (100.0, 250_000))
    smoke = PROFILES["smoke"]
    settings = replace(smoke, segmentation=replace(smoke.segmentation, steps=450_000, batch_size=8))
    planned = jobs(settings.segmentation, ["edm"])
    assert len(planned) == 18, (
        "3 main, 3 plain, longer, bridged, relabelled; of 3 subjects: alone, plain, with edm, bridged, 3 : 1, 4 own"
    )
    text = estimate.estimate(settings, ["edm"], planned)
    assert "18 arms, 18 trainings of 3,600,000 images each" in text
    assert "200 hours" in text, "sixteen of ten hours, and two of twice as many"
    assert "0.8 MB of synthetic slices (1 x 48), 18.0 MB of segmenters" in text  # 48 x 32 x 32 x (4 x 4 + 1)
    assert "own generators: 2 trainings of 64 images each (not in these hours), 1.7 MB of samples" in text
    two = estimate.estimate(settings, ["edm", "vae"], planned)
    assert "1.7 MB of synthetic slices (2 x 48)" in two and "0.8 MB more while a generator is sampled again" in two


def test_the_speed_is_that_of_a_training(monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.1)
    monkeypatch.setattr(estimate, "fit", called := recording(estimate.fit))
    sizes, shape = PROFILES["smoke"].segmentation, estimate.Shape(4, 4, 32)
    speed, parameters = estimate.images_per_second("unet", shape, sizes)
    assert speed == called.records[-1]["images_per_second"] > 0 and len(called.records) == 3
    assert parameters == estimate.new_segmenter("unet", 4, 4, sizes).parameters()


def recording(function):
    def wrapped(*args, **kwargs):
        wrapped.records.append(function(*args, **kwargs))
        return wrapped.records[-1]

    wrapped.records = []
    return wrapped
