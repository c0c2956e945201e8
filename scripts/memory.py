"""Watch the memory of a long run of RL: `python scripts/memory.py results/03/memory.json [--iterations 500]`.

Starts `robo-rlft train algorithm=rloo` with small iterations, workers off, and looks at the process tree's resident
memory while the iterations go by. Writes what it was at a tenth of them and later, in MB of 10^6 bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from robo_rlft.commands.provenance import commit, versions

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the iterations, at which memory is told
EVERY = 0.5  # seconds between looks; an iteration takes about as long
LEAST = 100  # iterations
OVERRIDES = (
    "algorithm=rloo",
    "rotations=4",
    "algorithm.data.scenes=8",
    "algorithm.data.update_epochs=1",
    "algorithm.allow_zero_success=true",
    "threads=1",
)


def watch(iterations: int, folder: Path) -> dict[int, float]:
    """Return the memory after each iteration that was seen to end."""
    told = [*OVERRIDES, f"algorithm.iterations={iterations}", f"output={folder / 'run'}"]
    run = subprocess.Popen([sys.executable, "-m", "robo_rlft", "train", *told], stdout=sys.stderr)
    tree, metrics, seen = psutil.Process(run.pid), folder / "run" / "metrics.csv", dict[int, float]()
    while run.poll() is None:
        done = len(metrics.read_text(encoding="utf-8").splitlines()) - 1 if metrics.exists() else 0
        with contextlib.suppress(psutil.Error):  # one of them ended between the two
            used = sum(p.memory_info().rss for p in (tree, *tree.children(recursive=True)))
            if done > 0:
                seen[done] = used / 1e6
        time.sleep(EVERY)
    if run.wait() != 0:
        raise SystemExit(f"train ended with {run.returncode}; its last words are above")
    return seen


def around(seen: dict[int, float], until: float, iterations: int) -> float:
    """Return the median memory of the tenth of the iterations that ends at `until`: within one it rises and falls."""
    return statistics.median(used for n, used in seen.items() if until - iterations / 10 < n <= until)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--iterations", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.iterations < LEAST:
        parser.error(f"--iterations: expected at least {LEAST}, several looks a tenth; got {arguments.iterations}")
    with tempfile.TemporaryDirectory() as folder:
        seen = watch(arguments.iterations, Path(folder))
    at = {f"{share:.0%}": around(seen, share * arguments.iterations, arguments.iterations) for share in SHARES}
    content = {
        "what": "resident memory of a run of RL, MB, medians of the tenths that end there",
        "command": f"robo-rlft train {' '.join(OVERRIDES)} algorithm.iterations={arguments.iterations}",
        "commit": commit(),
        "versions": versions(),
        "rss_mb": at,
        "growth_mb": at["100%"] - at["10%"],
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
