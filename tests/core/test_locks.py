"""Two processes do not work in one folder at a time."""

import multiprocessing
import time

from medsynth_lib.core.locks import own_turn


def work(folder, number, notes):
    with own_turn(folder, "it"):
        notes.put((number, "in"))
        time.sleep(0.2)
        notes.put((number, "out"))


def test_one_after_the_other(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    notes = spawn.Queue()
    both = [spawn.Process(target=work, args=(tmp_path / "new", k, notes)) for k in range(2)]
    for process in both:
        process.start()
    order = [notes.get(timeout=60) for _ in range(4)]
    for process in both:
        process.join()
    assert [word for _, word in order] == ["in", "out", "in", "out"]
    assert order[0][0] == order[1][0] != order[2][0]
