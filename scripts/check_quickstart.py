"""Fail when the quickstart's table shows a regression of RL fine-tuning (one seed, greedy, scenes with seen words)."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def regressions(table: dict[str, dict[str, dict[str, dict[str, float]]]]) -> list[str]:
    """Return what fell below its bar, in words."""
    bc = table["bc"]["seen"]["success"]["mean"]
    rl = table["rl"]["seen"]["success"]["mean"]
    found = []
    if rl < 0.80:
        found.append(f"rl on seen is {rl:.3f}, expected at least 0.80")
    if bc <= 0.70 and rl - bc < 0.20:
        found.append(f"rl is {rl - bc:.3f} above bc ({bc:.3f}), expected at least 0.20 where bc is at most 0.70")
    if bc > 0.70 and rl < 0.90:
        found.append(f"rl on seen is {rl:.3f}, expected at least 0.90 where bc ({bc:.3f}) is above 0.70")
    return found


def main() -> int:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart/table.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    found = regressions(content["table"])
    for line in found:
        print(f"regression: {line}", file=sys.stderr)
    if not found:
        seconds, cpu, memory = content["wall_seconds"], content["cpu_seconds"], content["peak_rss_mb"]
        print(f"no regression in {path} ({seconds:.0f} s, {cpu:.0f} CPU-seconds, {memory:.0f} MB)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
