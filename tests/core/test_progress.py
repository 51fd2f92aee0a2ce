"""Progress in a log: few lines, a rate and the time left."""

import pytest

from medsynth_lib.core import progress
from medsynth_lib.core.progress import Progress, clock


def test_clock():
    assert [clock(s) for s in (0, 59.4, 61, 3725)] == ["0:00", "0:59", "1:01", "1:02:05"]


def test_headless_lines_tell_rate_and_time_left(monkeypatch, capsys):
    monkeypatch.setenv("MEDSYNTH_HEADLESS", "1")
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress("vae", 1000, initial=200)
    for done in range(210, 1001, 10):
        now[0] += 1.0
        bar.update(done, "loss 1")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 80 / progress.SECONDS_BETWEEN_LINES + 2
    # 10 images a second, whatever an earlier, interrupted call had done
    assert "10 images/s" in lines[0] and "left | loss 1" in lines[0]
    assert lines[-1].startswith("vae 100 %") and "took 1:20" in lines[-1]


@pytest.mark.parametrize("value", ["", "1"])
def test_live_unless_headless(monkeypatch, value):
    monkeypatch.setenv("MEDSYNTH_HEADLESS", value)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert progress.is_live() == (value == "")
