"""Break the line to an emulated arm in every way that the issue lists, and measure how `real_ur` takes it.

Starts the emulated controller on an address of its own, drives it with the bare UR driver (no operator is asked), and
writes one row a case. Usage: python scripts/robot_faults.py results/02/robot_faults.json [seed] [case ...]
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robo_rlft.driver import ConnectionLost, DriverError, Mode, OperatorNeeded, Pose, RobotStopped
from robo_rlft.robots.stage import StageClient
from robo_rlft.robots.ur.driver import _UrDriver
from robo_rlft.robots.ur.frames import BaseFrame
from robo_rlft.robots.ur.motion import SUPERVISOR_PERIOD, MotionSettings
from robo_rlft.robots.ur.tool import UrTool
from tests.robots.controller import controller

WATCHDOG_HZ = 10.0
ENDS = (Pose(position=(0.5, 0.2, 0.4)), Pose(position=(0.5, -0.2, 0.4)))
SPEED, ACCELERATION = 0.25, 1.0
SECONDS = 0.4 / SPEED + SPEED / ACCELERATION  # that the way between the ends takes
ERROR_WITHIN = 0.5  # seconds after a cut or a freeze
STILL_WITHIN = 1.5 / WATCHDOG_HZ  # after our process was killed
REPORTED_WITHIN = 2 * SUPERVISOR_PERIOD  # after a stop by the robot itself

Row = dict[str, Any]


def bare(host: str) -> _UrDriver:
    return _UrDriver(
        host=host,
        frame=BaseFrame(),
        tool=UrTool(holding_pin=0),
        settings=MotionSettings(contact_force=4.0, force_limit=60.0, deceleration=5.0, stale=0.2),
        acceleration=ACCELERATION,
        watchdog_hz=WATCHDOG_HZ,
        home=(0.5, 0.0, 0.5, 0.0),
        home_speed=0.5,
        rest_seconds=0.1,
    )


class Bench:
    """One emulated cell, and what happened in it since a moment."""

    def __init__(self, host: str, stage: StageClient, seed: int) -> None:
        self.host, self.stage, self.random = host, stage, random.Random(seed)
        self.driver = bare(host)
        self.driver.connect()
        self.disturbed: list[str] = []  # errors without a fault
        self._seen = 0

    def mark(self) -> None:
        events = self.stage.events(after=self._seen)
        self._seen = events[-1]["n"] if events else self._seen

    def when(self, *names: str, after: float = 0.0, within: float = 3.0) -> float | None:
        """Return the time of the first event of these names since the mark, at or after a time."""
        end = time.monotonic() + within
        while True:
            for event in self.stage.events(after=self._seen):
                if event["event"] in names and event["t"] >= after:
                    return float(event["t"])
            if time.monotonic() > end:
                return None
            time.sleep(0.01)

    def start(self) -> Pose:
        """Bring the tool to one end, and return the other."""
        y = self.driver.tool_pose().position[1]
        near, far = ENDS if y > 0 else ENDS[::-1]
        try:
            self.driver.move(near, speed=0.5)
        except DriverError as error:  # nothing was broken yet: this machine was too busy for a moment
            self.disturbed.append(str(error))
            self.recover()
            self.driver.move(near, speed=0.5)
        self.mark()
        return far

    def fail(self, target: Pose) -> tuple[Exception | None, float]:
        """Move, and return what it raised and when."""
        try:
            self.driver.move(target, speed=SPEED, acceleration=ACCELERATION)
        except DriverError as error:
            return error, time.monotonic()
        return None, time.monotonic()

    def silent_until_recovered(self) -> dict[str, bool]:
        """Try everything that must not work now, and tell whether it did not."""
        before = self.stage.counts()
        checks = {
            "operator_needed": _raises(OperatorNeeded, lambda: self.driver.move(ENDS[0], speed=SPEED)),
            "no_grip": _raises(OperatorNeeded, self.driver.grip),
            "no_reconnect": _raises(OperatorNeeded, self.driver.connect),
        }
        time.sleep(0.3)
        after = self.stage.counts()
        sent = ("motion_messages", "programs", "digital_outputs", "dashboard_unlocks")
        checks["nothing_sent"] = all(before[name] == after[name] for name in sent)
        return checks

    def recover(self) -> bool:
        """End the fault, recover as an operator would, and tell whether the arm moves again."""
        self.stage.clear()
        end = time.monotonic() + 5.0
        while True:
            try:
                self.driver.recover(operator="bench")
                break
            except DriverError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        return not self.driver.move(ENDS[0], speed=0.5).contact


def lost(bench: Bench, fault: str, *, seconds: float, after: float) -> Row:
    """Cut, freeze or silence the controller in a motion."""
    target = bench.start()
    bench.stage.fault(fault, seconds=seconds, after_motion_s=after)
    error, raised = bench.fail(target)
    made = bench.when("fault_made")
    assert made is not None
    row: Row = {"fault": fault, "seconds": seconds, "after": after, "error": type(error).__name__, "said": str(error)}
    row["latency"] = raised - made
    row["no_stale_state"] = _raises(ConnectionLost, bench.driver.tool_pose)
    row["disconnected"] = bench.driver.status().mode is Mode.DISCONNECTED
    row |= bench.silent_until_recovered()
    still = bench.when("motion_ended", after=made, within=seconds + 2.0)
    row["still_after"] = None if still is None else still - made
    row["recovered"] = bench.recover()
    checks = ("no_stale_state", "disconnected", "operator_needed", "nothing_sent", "no_reconnect", "recovered")
    row["passed"] = isinstance(error, ConnectionLost) and row["latency"] < ERROR_WITHIN and all(row[c] for c in checks)
    return row


def killed(bench: Bench, how: str, *, after: float) -> Row:
    """Kill (or stop) a process that moves the arm: only itself, itself and the one that holds ur_rtde, or hang it."""
    bench.start()
    bench.driver.close()
    bench.mark()
    client = subprocess.Popen([sys.executable, __file__, "--move", bench.host], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    link = int(client.stdout.readline())
    began = bench.when("motion_started", within=10.0)
    assert began is not None
    time.sleep(max(0.0, began + after - time.monotonic()))
    moving = bench.stage.state()["moving"]
    at = time.monotonic()
    if how == "both":
        os.kill(link, signal.SIGKILL)
    os.kill(client.pid, signal.SIGSTOP if how == "hung" else signal.SIGKILL)
    stopping, still = bench.when("stop", "program_ended", after=at), bench.when("motion_ended", after=at)
    client.kill()
    client.wait()
    client.stdout.close()
    time.sleep(0.3)
    row: Row = {"fault": f"process {how}", "after": after, "was_moving": moving}
    row["stopping_after"] = None if stopping is None else stopping - at
    row["still_after"] = None if still is None else still - at
    row["nothing_moves"] = not bench.stage.state()["moving"]
    row["orphan"] = _runs(link)
    bench.driver.connect()
    in_time = still is not None and still - at < STILL_WITHIN
    row["passed"] = bool(moving and in_time and row["nothing_moves"] and not row["orphan"])
    return row


def stopped(bench: Bench, fault: str, when: str, *, after: float) -> Row:
    """Stop the robot by its own will, before, in or after a motion."""
    expected = Mode.PROTECTIVE_STOP if fault == "protective_stop" else Mode.EMERGENCY_STOP
    target = bench.start()
    unlocks = bench.stage.counts()["dashboard_unlocks"]
    row: Row = {"fault": fault, "when": when}
    if when == "during":
        bench.stage.fault(fault, after_motion_s=after)
        row["after"] = after
        error, reported = bench.fail(target)
    else:
        if when == "after":
            bench.driver.move(target, speed=SPEED)
            bench.mark()
            target = bench.start()
        bench.stage.fault(fault)
        while bench.driver.status().mode is Mode.OK:
            time.sleep(0.0005)
        reported = time.monotonic()
        error, _ = bench.fail(target)
    made = bench.when("fault_made")
    assert made is not None
    row |= {"error": type(error).__name__, "latency": reported - made}
    row["mode"] = bench.driver.status().mode is expected
    row |= bench.silent_until_recovered()
    row["not_recovered_while_locked"] = _raises(DriverError, lambda: bench.driver.recover(operator="bench"))
    time.sleep(0.2)
    row["still_locked"] = bench.driver.status().mode is expected
    row["never_unlocked"] = bench.stage.counts()["dashboard_unlocks"] == unlocks
    bench.stage.fault("unlock")  # as a person does it, at the pendant
    row["recovered"] = bench.recover()
    row["passed"] = (
        isinstance(error, RobotStopped)
        and row["latency"] <= REPORTED_WITHIN
        and all(value for value in row.values() if isinstance(value, bool))
    )
    return row


def cases(bench: Bench) -> list[tuple[str, Callable[[], Row]]]:
    """Return every case, by group; instants are drawn evenly, with a jitter, over the motion."""

    def instant(share: float) -> float:
        return round(SECONDS * min(0.97, max(0.01, share + bench.random.uniform(-0.02, 0.02))), 4)

    listed: list[tuple[str, Callable[[], Row]]] = []
    for index in range(20):
        after = instant((index + 0.5) / 20)
        listed.append(("cut", lambda a=after: lost(bench, "cut", seconds=1.0, after=a)))
    for index in range(5):
        after = instant((index + 0.5) / 5)
        listed.append(("blink", lambda a=after: lost(bench, "cut", seconds=0.01, after=a)))
    for seconds in (0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0):
        after = instant(bench.random.uniform(0.1, 0.9))
        listed.append(("freeze", lambda s=seconds, a=after: lost(bench, "freeze", seconds=s, after=a)))
    for seconds in (0.2, 0.3, 0.5, 1.0, 3.0, 8.0):
        after = instant(bench.random.uniform(0.1, 0.8))
        listed.append(("silence", lambda s=seconds, a=after: lost(bench, "silence", seconds=s, after=a)))
    for how, count in (("killed", 20), ("both", 20), ("hung", 5)):
        for index in range(count):
            after = instant(0.05 + 0.85 * (index + 0.5) / count)
            listed.append((how, lambda h=how, a=after: killed(bench, h, after=a)))
    for fault in ("protective_stop", "emergency_stop"):
        for when in ("before", "during", "after"):
            for index in range(5):
                after = instant((index + 0.5) / 5)
                listed.append((fault, lambda f=fault, w=when, a=after: stopped(bench, f, w, after=a)))
    return listed


def main(target: Path, seed: int, groups: list[str]) -> None:
    rows: list[Row] = []
    with controller() as (host, stage):
        bench = Bench(host, stage, seed)
        for group, case in cases(bench):
            if groups and group not in groups:
                continue
            try:
                row = case()
            except Exception as error:
                row = {"error": f"{type(error).__name__}: {error}", "passed": False}
                stage.clear()
                bench.driver.close()
                bench.driver = bare(host)
                bench.driver.connect()
            rows.append({"group": group, **{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}})
            print(json.dumps(rows[-1]), flush=True)
        ended, disturbed = bench.driver.watchdog_ended_after, bench.disturbed
        bench.driver.close()
    table = {
        "format": "robo_rlft.robot_faults",
        "format_version": 1,
        "command": f"python scripts/robot_faults.py {target} {seed}" + "".join(f" {group}" for group in groups),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "seeds": [seed],
        "watchdog_hz": WATCHDOG_HZ,
        "watchdog_ended_after": ended,
        "supervisor_period": SUPERVISOR_PERIOD,
        "limits": {"error": ERROR_WITHIN, "still": STILL_WITHIN, "reported": REPORTED_WITHIN},
        "disturbed": disturbed,
        "summary": _summary(rows),
        "cases": rows,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table["summary"], indent=1))
    sys.exit(0 if all(row["passed"] for row in rows) else 1)


def move(host: str) -> None:
    """Be the process that is killed: go to the other end."""
    driver = bare(host)
    driver.connect()
    print(driver._link._process.pid, flush=True)  # type: ignore[union-attr]
    near = driver.tool_pose().position[1] > 0
    driver.move(ENDS[1] if near else ENDS[0], speed=SPEED, acceleration=ACCELERATION)


def _summary(rows: list[Row]) -> dict[str, Row]:
    groups: dict[str, Row] = {}
    for name in dict.fromkeys(row["group"] for row in rows):
        of = [row for row in rows if row["group"] == name]
        groups[name] = {"cases": len(of), "passed": sum(row["passed"] for row in of)}
        for key in ("latency", "stopping_after", "still_after"):
            values = [row[key] for row in of if row.get(key) is not None]
            if values:
                groups[name][f"max_{key}"] = max(values)
    return groups


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # a dead one may wait to be reaped


def _raises(kind: type[Exception], call: Callable[[], Any]) -> bool:
    try:
        call()
    except kind:
        return True
    except Exception:
        return False
    return False


if __name__ == "__main__":
    if sys.argv[1] == "--move":
        move(sys.argv[2])
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, sys.argv[3:])
