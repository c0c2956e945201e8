"""Deploy the same policy on the same scenes twice, on sim_floating and on real_ur against the emulated controller.

Usage: python scripts/loopback_pairs.py results/02/loopback_pairs.json [--scenes 100] [--host 127.0.0.2]

Both are `robo-rlft deploy`, with one attempt a sentence. The second one runs in a terminal of its own, in which this
script is the operator: it lays each scene on the emulator's table, types its sentence, types the arm's serial number
once, and answers after each sentence whether it was done, as the task's progress says.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_rlft.commands.provenance import commit, versions
from robo_rlft.driver import DriverError
from robo_rlft.env import SUCCESS
from robo_rlft.robots.stage import StageClient
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from robo_rlft.tasks.task import Layout

SPLIT, PHASE = "seen", "val"
SERIAL = "20260000001"
PROFILE = Path(__file__).resolve().parents[1] / "docs/examples/cell.yaml"
SETTLED = 0.1  # seconds until the emulated controller tells of the table that was laid
SILENCE = 120.0  # seconds without a word after which the session is given up
LEAST_SUCCESS = 8  # outcomes that may differ, of 100


@dataclass
class Table:
    """The emulator's table, on which scene after scene is laid."""

    stage: StageClient
    layouts: list[Layout]
    at: int = -1

    def lay_next(self) -> str:
        """Return the sentence of the next scene, which lies on the table then; nothing after the last."""
        self.at += 1
        print(f"\r{self.at} of {len(self.layouts)}", end="", flush=True)
        if self.at == len(self.layouts):
            return ""
        layout = self.layouts[self.at]
        self.stage.build(layout.bodies, layout.poses)
        time.sleep(SETTLED)
        return layout.instruction

    def judge(self) -> bool:
        """Return whether the sentence of the scene that lies there was done."""
        return PutBlockInBowl().progress(self.layouts[self.at], self.stage.poses()) > SUCCESS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--host", default="127.0.0.2")
    asked = parser.parse_args()
    task = PutBlockInBowl()
    layouts = [task.scene(split=SPLIT, phase=PHASE, seed=seed) for seed in range(asked.scenes)]
    folder = Path(tempfile.mkdtemp(prefix="pairs-"))
    lines = [json.dumps({"sentence": layout.instruction, "scene_seed": i}) for i, layout in enumerate(layouts)]
    (folder / "simulated.jsonl").write_text("\n".join(lines), encoding="utf-8")
    started = time.monotonic()
    simulated = _simulated(folder)
    print(f"sim_floating: {sum(bool(s['success']) for s in simulated)} of {asked.scenes} done", flush=True)
    with_emulator = subprocess.Popen(
        [sys.executable, "-m", "robo_rlft.sim.loopback", "--host", asked.host, "--serial", SERIAL, "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert with_emulator.stdout is not None and with_emulator.stdout.readline().startswith(b"ready")
        table = Table(stage=StageClient(asked.host), layouts=layouts)
        real = _real(folder, table, asked.host)
        counts = table.stage.counts()
    finally:
        with_emulator.terminate()
    result = _compare(simulated, real, table, counts)
    result["wall_seconds"] = round(time.monotonic() - started, 1)
    asked.target.parent.mkdir(parents=True, exist_ok=True)
    asked.target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shutil.copy(folder / "real.log", asked.target.with_suffix(".log")) if result["differ"] > LEAST_SUCCESS else None
    print(json.dumps({k: v for k, v in result.items() if k != "scenes"}, indent=1))


def _simulated(folder: Path) -> list[dict[str, Any]]:
    output = folder / "simulated"
    command = [*_deploy(), f"instructions={folder / 'simulated.jsonl'}", f"split={SPLIT}", f"phase={PHASE}"]
    subprocess.run([*command, f"output={output}"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return _sentences(output)


def _deploy() -> list[str]:
    return [sys.executable, "-m", "robo_rlft", "deploy", "attempts=1", "threads=1"]


def _real(folder: Path, table: Table, host: str) -> list[dict[str, Any]]:
    """Hold the session with the emulated arm, as its operator; return what its sentences came to."""
    output = folder / "real"
    command = [*_deploy(), "robot=real_ur", "camera=loopback", f"robot.host={host}", f"camera.host={host}"]
    command += [f"robot.profile={PROFILE}", "robot.dry_run=false", "robot.confirm=run", "robot.tool.holding_pin=0"]
    command += ["robot.home=[0.5,0.0,0.62,0.0]"]  # above what the camera sees
    command += ["operator=loopback_pairs", f"output={output}"]
    terminal, end = pty.openpty()
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, close_fds=True, start_new_session=True)
    os.close(end)
    heard, log = "", (folder / "real.log").open("w", encoding="utf-8")
    last = time.monotonic()
    while process.poll() is None or select.select([terminal], [], [], 0.2)[0]:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                piece = os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the other end was closed
                break
            log.write(piece)
            log.flush()
            heard, last = heard + piece, time.monotonic()
        answer = _answer(heard, table)
        if answer is not None:
            heard = ""
            os.write(terminal, f"{answer}\n".encode())
        if time.monotonic() - last > SILENCE:
            process.kill()
            raise DriverError(f"the session said nothing for {SILENCE:.0f} s; see {folder / 'real.log'}")
    if process.wait() != 0:
        raise DriverError(f"the session ended with {process.returncode}; see {folder / 'real.log'}")
    return _sentences(output)


def _answer(heard: str, table: Table) -> str | None:
    """Return what the operator types at a question; None where none was asked."""
    words = re.sub(r"\s+", " ", heard).rstrip()
    if words.rstrip(":").endswith("serial number of the robot that is to move"):
        return SERIAL
    if words.endswith("(an empty line ends)"):
        return table.lay_next()
    if words.endswith("[yes/no/skip]"):
        return "yes" if table.judge() else "no"
    if words.endswith("[yes/no]"):
        if "wants to use it again" in words:
            table.stage.clear()  # unlocked, as by a hand at the pendant
        return "yes"
    if "what went wrong?" in words and words.endswith(":"):
        return "7"
    return None


def _sentences(output: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((output / "results.json").read_text(encoding="utf-8"))["sentences"]
    return found


def _compare(
    simulated: list[dict[str, Any]], real: list[dict[str, Any]], table: Table, counts: dict[str, Any]
) -> dict[str, Any]:
    scenes = []
    for seed, (one, other) in enumerate(zip(simulated, real, strict=True)):
        attempts = [course["attempts"][0] for course in (one, other)]
        same = all(a["plan"][key] == attempts[0]["plan"][key] for a in attempts for key in ("pick", "place", "turn"))
        scene: dict[str, Any] = {"seed": seed, "sim_floating": one["success"], "real_ur": other["success"]}
        if one["success"] != other["success"]:
            scene |= {"same_plan": same, "outcome": other["outcome"], "detail": other["detail"]}
            for name, course in (("sim_floating", one), ("real_ur", other)):
                last = course["attempts"][-1]
                scene[name + "_came_to"] = {"gripped": last["gripped"], "carried": last["carried"]}
                scene[name + "_failure"] = course["failure"]
        scenes.append(scene)
    differ = [s for s in scenes if s["sim_floating"] != s["real_ur"]]
    return {
        "what": "deploy on sim_floating and on real_ur against the emulated controller, the same scenes",
        "command": " ".join(["python", *sys.argv]),
        "commit": commit(),
        "versions": versions(),
        "split": SPLIT,
        "phase": PHASE,
        "scene_seeds": [0, len(scenes) - 1],
        "done": {name: sum(bool(s[name]) for s in scenes) for name in ("sim_floating", "real_ur")},
        "differ": len(differ),
        "differing": differ,
        "controller": counts,
        "scenes": scenes,
    }


if __name__ == "__main__":
    main()
