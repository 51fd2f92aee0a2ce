"""One job of the Snakefile: run a module as a child process, log its output, print it with a name in front.

usage: python -m medsynth_lib.course.job --log LOG --name NAME --threads N [--shared] -- MODULE [word ...]

It replaces shell pipes, so that the jobs run where there is no bash. Exit code: the child's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..experiment import disk, options


def environment(threads: int, shared: bool) -> dict[str, str]:
    """A job's environment variables. `shared`: other jobs need the cores, so waiting threads must not spin."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MEDSYNTH_THREADS"), str(threads))
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"} if shared else {}
    return {**os.environ, **counts, **waiting, "MEDSYNTH_HEADLESS": "1", "PYTHONUTF8": "1"}


def run(module: str, words: list[str], log: Path, name: str, threads: int, shared: bool = False) -> int:
    """Run `python -m module words`; its exit code, which is 128 + the signal when it was killed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-u", "-m", module, *words]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": environment(threads, shared)}
    with open(log, "wb") as kept, subprocess.Popen(command, **pipe) as child:
        while True:
            try:
                for line in child.stdout:
                    kept.write(line)
                    kept.flush()
                    show(f"[{name}] ".encode() + line.rstrip(b"\r\n") + b"\n")
                code = child.wait()
                return 128 - code if code < 0 else code
            except OSError:  # no space for the log: the child has nowhere to write either
                child.terminate()
                raise
            except KeyboardInterrupt:  # Ctrl-C reaches the child as well; its last output is still read
                continue


def show(line: bytes) -> None:
    """Print a line unchanged; once stdout is closed, only the log continues."""
    try:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of this process


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("job", __doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--name", required=True, help="printed in front of every line")
    parser.add_argument("--threads", type=options.whole(1), required=True)
    parser.add_argument("--shared", action="store_true", help="other jobs run at the same time")
    parser.add_argument("module")
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args(arguments)
    try:
        return run(asked.module, asked.words, asked.log, asked.name, asked.threads, asked.shared)
    except OSError as error:
        print(f"[{asked.name}] {asked.log} could not be written: {disk.sentence(error)}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
