"""Progress display: a bar in a live notebook or terminal, a line now and then in a log file."""

from __future__ import annotations

import os
import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


def is_live() -> bool:
    """Whether output goes to a terminal or a notebook kernel, and MEDSYNTH_HEADLESS is not set."""
    return not os.environ.get("MEDSYNTH_HEADLESS") and ("ipykernel" in sys.modules or sys.stderr.isatty())


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Counts `unit`s up to `total`; `initial` of them were done in an earlier, interrupted call."""

    def __init__(self, name: str, total: int, unit: str = "images", initial: int = 0):
        self.name, self.total, self.unit = name, total, unit
        self.done = self.initial = initial
        self.started = time.monotonic()
        self.last_line = self.started - SECONDS_BETWEEN_LINES / 2  # first line early
        self.bar = None
        if is_live():
            self.bar = tqdm(desc=name, total=total, initial=initial, unit=" " + unit, file=sys.stdout, mininterval=0.5)

    def update(self, done: int, note: str = "") -> None:
        """Set the number of finished units; `note` (such as losses) is shown beside it."""
        self.done = done
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES or done >= self.total:
            self.last_line = time.monotonic()
            print(f"{self.line()}{' | ' + note if note else ''}", flush=True)

    def line(self) -> str:
        """Name, percentage, units done, units per second and time left, as one line."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = max((self.done - self.initial) / seconds, 1e-9)
        left = f"{clock((self.total - self.done) / rate)} left" if self.done < self.total else f"took {clock(seconds)}"
        return (
            f"{self.name} {100 * self.done / self.total:3.0f} % | {self.done:,} of {self.total:,} {self.unit} | "
            f"{rate:,.3g} {self.unit}/s | {left}"
        )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
