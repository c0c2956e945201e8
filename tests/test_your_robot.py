"""What docs/your_robot.md says about a driver of one's own is so: its files, its commands, its first dry run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "examples" / "robot"
PAGE = (DOCS / "your_robot.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    (block,) = blocks("bash")
    return block.strip().splitlines()


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in a folder, with the example on its path."""
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["my_arm.py", "test_my_arm.py", "cell.yaml", "conf/robot/real_my_arm.yaml"])
def test_the_code_on_the_page_is_the_file_that_is_tested(name: str) -> None:
    language = "python" if name.endswith(".py") else "yaml"
    assert (EXAMPLE / name).read_text(encoding="utf-8") in blocks(language)


def test_the_driver_is_as_short_as_the_page_says() -> None:
    lines = [line for line in (EXAMPLE / "my_arm.py").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 60


def test_files_that_the_page_links_to_are_there() -> None:
    links = [target for target in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in target]
    assert len(links) > 5
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_every_method_of_the_contract_is_on_the_page() -> None:
    contract = (ROOT / "robo_rlft" / "driver.py").read_text(encoding="utf-8").partition("class RobotDriver")[2]
    methods = re.findall(r"^    def (\w+)\(", contract, flags=re.MULTILINE)
    assert len(methods) == 15
    assert [name for name in methods if f"`{name}(" not in PAGE] == []


def test_there_are_five_commands_to_the_first_dry_run() -> None:
    assert len(commands()) == 5


def test_the_example_is_a_driver_from_wherever_it_is_asked(tmp_path: Path) -> None:
    suite = ["pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE), str(EXAMPLE / "test_my_arm.py")]
    done = run(suite, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d\d passed", done.stdout, flags=re.MULTILINE)


def test_the_command_of_the_page_draws_a_plan_and_moves_nothing(tmp_path: Path) -> None:
    words = shlex.split(commands()[-1])
    assert words[0] == "robo-rlft"
    words = [word.replace("=cell.yaml", f"={EXAMPLE}/cell.yaml") for word in words[1:]]
    words[words.index("--config-dir") + 1] = str(EXAMPLE / "conf")
    done = run(["robo_rlft", *words, "threads=1", f"output={tmp_path}/run"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was moved" in done.stdout
    assert list((tmp_path / "run").glob("plan-*.png"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if "event" in line]
    assert "planned" in events
    assert "sent" not in events
