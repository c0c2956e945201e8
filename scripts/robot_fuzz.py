"""Give `real_ur` 10,000 commands that a program should never give, and look at what reached the emulated controller.

Usage: python scripts/robot_fuzz.py results/02/robot_fuzz.json [count]
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robo_rlft.commands.provenance import commit, versions
from robo_rlft.driver import Mode, Pose, Refused
from robo_rlft.robots.safety.limits import RULES
from robo_rlft.robots.ur import RealUr
from tests.robots import fuzz
from tests.robots.controller import controller
from tests.robots.fakes import FakeOperator

SEED = 0
EVERY = 100  # commands after which a legal one must work
AT_LEAST = 50  # refusals by each rule
LEGAL = Pose(position=fuzz.CENTER)
SLACK = 1e-6  # metres and m/s: rounding on the way to the controller


def main(target: Path, count: int) -> None:
    refused: Counter[str] = Counter()
    accepted = legal = uninvited = 0
    limits, started = fuzz.limits(), time.monotonic()
    with controller() as (host, stage):
        robot = RealUr(
            host=host,
            profile=fuzz.EXAMPLE,
            limits=fuzz.NARROWED,
            dry_run=False,
            confirm="run",
            operator=FakeOperator(),
            home=(0.5, 0.0, 0.62, 0.0),
        )
        robot.connect()
        for height in (0.45, 0.25):
            robot.move(Pose(position=(0.45, 0.0, height)), speed=limits.speed)
        heard = stage.counts(reset=True)["motion_messages"]
        for number, command in enumerate(fuzz.commands(SEED, count), start=1):
            if command.aim == "legal":
                uninvited += stage.counts()["motion_messages"] - heard
            try:
                robot.move(**command.args)
                accepted += 1
                heard = stage.counts()["motion_messages"]  # a long turn is several messages
            except Refused as refusal:
                refused[refusal.rule] += 1
            if number % EVERY == 0:
                uninvited += stage.counts()["motion_messages"] - heard
                robot.move(LEGAL, speed=limits.speed)
                legal += 1
                heard = stage.counts()["motion_messages"]
                print(f"\r{number} of {count}", end="", flush=True)
        counts = stage.counts()
        mode = robot.status().mode
        robot.close()
    low, high = counts["low"], counts["high"]
    checks = {
        "every rule that a motion can break refused often enough": min(
            refused[rule] for rule in RULES if rule != "force"
        )
        >= AT_LEAST,
        "no refused command reached the controller": uninvited == 0,
        "no target outside the box": all(a >= b - SLACK for a, b in zip(low, limits.low, strict=True))
        and all(a <= b + SLACK for a, b in zip(high, limits.high, strict=True)),
        "no target below the table": low[2] >= limits.table - SLACK,
        "no speed above the limit": counts["max_speed"] <= limits.speed + SLACK,
        "no acceleration above the limit": counts["max_acceleration"] <= limits.acceleration + SLACK,
        "the controller refused nothing": counts["refused_commands"] == 0,
        "usable afterwards": mode is Mode.OK,
    }
    result = {
        "what": "fuzzed commands to real_ur over the emulated controller",
        "command": " ".join(["python", *sys.argv]),
        "commit": commit(),
        "versions": versions(),
        "seed": SEED,
        "commands": count,
        "accepted": accepted,
        "legal_moves_between": legal,
        "refused": dict(refused.most_common()),
        "controller": counts,
        "checks": checks,
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\r{json.dumps(result, indent=1)}")
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
