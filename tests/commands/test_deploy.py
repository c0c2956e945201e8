"""Live sessions: in simulation, over a safety envelope around an arm in memory, and with everything going wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from robo_rlft.commands.cli import main
from robo_rlft.commands.deploy import session as deploy_session
from robo_rlft.commands.deploy.command import deploy
from robo_rlft.commands.deploy.prompts import ConsoleOperator
from robo_rlft.commands.deploy.session import SessionEnded
from robo_rlft.config import UserError, compose
from robo_rlft.data.context import TrainContext
from robo_rlft.data.demonstrations import DemonstrationData
from robo_rlft.data.episodes import EpisodeError, read_episodes
from robo_rlft.driver import DeadlineExceeded, Mode, Pose, RobotDriver
from robo_rlft.language.instruction import InstructionError
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.profile import read_profile
from tests.robots.fakes import FakeArm, Faults
from tests.robots.fuzz import EXAMPLE

SENTENCE = "put the red block in the blue bowl"


@dataclass
class Answers:
    """Answers by what is asked: the first whose key is in the question; an answer may be a function."""

    by_question: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        for key, answer in self.by_question.items():
            if key in question:
                found = answer.pop(0) if isinstance(answer, list) and answer else answer
                text = found() if callable(found) else found
                if isinstance(text, str):
                    return text
        raise EOFError


def yes(**others: Any) -> Answers:
    return Answers({**{key.replace("_", " "): value for key, value in others.items()}, "[yes/no": "yes"})


@pytest.fixture(autouse=True)
def without_drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing of plans, a second each, to the tests that look at them."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(deploy_session, "render", lambda figure, kind: b"no picture")


@pytest.fixture
def pictures() -> None:
    """Draw plans."""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def session(
    *overrides: str, answers: Callable[[str], str] | None = None, driver: RobotDriver | None = None
) -> tuple[dict[str, Any], str]:
    """Hold a session; return its results and what was told."""
    console = Console(file=io.StringIO(), width=200, soft_wrap=True)
    composed = compose("deploy", ["threads=1", "run=live", *overrides])
    try:
        deploy(composed, console, operator=ConsoleOperator(name="Ada", ask=answers or yes()), driver=driver)
    finally:
        assert isinstance(console.file, io.StringIO)
        told = console.file.getvalue()
    return results(), told


def results() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path("runs/live/results.json").read_text())
    return data


def guarded(arm: FakeArm, *, answers: Answers, **options: Any) -> SafetyEnvelope:
    """Return an envelope around the arm whose reach is the whole workspace: what the policy sees here is noise."""
    profile = read_profile(EXAMPLE)
    profile = replace(profile, limits=replace(profile.limits, reach_max=1.2, step=1.2))
    operator = ConsoleOperator(name="Ada", ask=answers)
    return SafetyEnvelope(**{"driver": arm, "profile": profile, "dry_run": False, "operator": operator} | options)


def data_of(folder: Path, **options: Any) -> DemonstrationData:
    episode = read_episodes(folder)[0]
    context = TrainContext(
        policy=SimpleNamespace(rotations=episode.rotations),  # type: ignore[arg-type]
        workspace=episode.workspace,
        make_env=None,
        data_dir=folder,
        run_dir=Path(),
        seed=0,
        workers=0,
    )
    data = DemonstrationData(context=context, val_episodes=0, steps_per_epoch=1, batch_size=1, **options)
    data.setup("fit")
    return data


# In simulation ------------------------------------------------------------------------------------------------------


def test_the_scene_s_own_sentence_is_done_and_becomes_an_episode_that_bc_reads(pictures: None) -> None:
    done, told = session("scene=0", "phase=train", answers=Answers({"scene 0": [""], "scene 1": ["q"]}))
    (course,) = done["sentences"]
    assert course["outcome"] == "done" and course["progress"] == 1.0
    assert "progress: 1.00" in told
    batch = next(iter(data_of(Path("runs/live/episodes")).train_dataloader()))
    assert batch.observation.instruction == (course["sentence"],)
    with Image.open(Path("runs/live") / course["attempts"][0]["picture"]) as picture:
        assert picture.width > 1000


def test_a_validation_scene_is_recorded_as_one_so_that_training_asks_for_leave() -> None:
    session("scene=3", answers=Answers({"scene 3": ["", "q"]}))
    folder = Path("runs/live/episodes")
    assert [(e.phase, e.seed, e.success) for e in read_episodes(folder)] == [("val", 3, True)]
    with pytest.raises(EpisodeError, match="seen/train only"):
        data_of(folder)
    assert data_of(folder, allow_leak=True).leak == "seen/val"


def test_each_sentence_of_a_file_gets_the_next_scene_without_anybody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    Path("told.txt").write_text("put the red block in the blue bowl\n\nput the zorgle in the blue bowl\n")
    assert main(["deploy", "threads=1", "run=live", "instructions=told.txt", "scene=4"]) == 0
    first, second = results()["sentences"]
    assert (first["scene"], second["scene"]) == (4, 5)
    # Nobody is there whom a doubt could be put to.
    assert second["outcome"] == "declined" and second["confidence"] < 0.5 and second["episode"] is None


def test_a_sentence_that_cannot_be_read_is_refused_before_anything_is_done() -> None:
    arm = FakeArm()
    with pytest.raises(InstructionError, match="names what to pick"):
        session("instruction=hello", driver=arm)
    assert arm.calls == [] and not Path("runs").exists()


def test_a_typed_sentence_that_cannot_be_read_is_asked_again() -> None:
    answers = Answers({"scene 0": ["hello", "", "q"], "scene 1": "q"})
    done, told = session(answers=answers)
    assert len(done["sentences"]) == 1 and "names what to pick" in told


def test_a_scene_where_nothing_was_done_waits_for_other_words() -> None:
    answers = Answers({"scene 0": ["put the zorgle in the red bowl", ""], "scene 1": "q", "go on": "no"})
    done, _ = session(answers=answers)
    assert [(c["scene"], c["outcome"]) for c in done["sentences"]] == [(0, "declined"), (0, "done")]


def test_a_session_is_never_taken_up_again() -> None:
    session(answers=Answers())
    with pytest.raises(UserError, match="never taken up again"):
        session(answers=Answers())
    assert main(["deploy", "threads=1", "instruction=put the zorgle in the blue bowl"]) == 0
    assert main(["deploy", "threads=1", "instruction=put the zorgle in the blue bowl"]) == 0
    names = sorted(path.name for path in Path("runs").iterdir())
    assert names == ["deploy-shipped-001", "deploy-shipped-002", "live"]


# Over an envelope ---------------------------------------------------------------------------------------------------


def test_a_dry_run_moves_nothing_and_leaves_the_picture_of_its_plan(pictures: None) -> None:
    arm, answers = FakeArm(), yes()
    robot = guarded(arm, answers=answers, dry_run=True)
    done, told = session(f"instruction='{SENTENCE}'", driver=robot, answers=answers)
    (course,) = done["sentences"]
    assert course["outcome"] == "dry run" and done["dry_run"] and course["episode"] is None
    assert arm.told("move", "home", "grip", "release") == [] and answers.asked == []
    assert "dry run: nothing was moved" in told
    assert [p["command"] for p in course["attempts"][0]["planned"]].count("grip") == 1
    assert (Path("runs/live") / course["attempts"][0]["picture"]).stat().st_size > 10_000
    assert "not at home" not in told


def test_a_dry_run_says_that_the_tool_may_stand_in_the_picture(pictures: None) -> None:
    arm, answers = FakeArm(start=Pose(position=(0.4, 0.1, 0.2))), yes()
    _, told = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers, dry_run=True), answers=answers)
    assert "not at home but at (0.400, 0.100, 0.200) m" in told


def test_a_person_confirms_the_action_and_says_whether_it_was_done() -> None:
    arm, answers = FakeArm(faults=Faults(contact_at=0.03)), yes()
    robot = guarded(arm, answers=answers)
    done, _ = session(f"instruction='{SENTENCE}'", driver=robot, answers=answers)
    (course,) = done["sentences"]
    assert course["outcome"] == "done" and len(arm.told("grip")) == 1
    assert sum("pick up at" in question for question in answers.asked) == 1
    (episode,) = read_episodes(Path("runs/live/episodes"))
    assert (episode.task, episode.split, episode.phase) == ("real_table", "seen", "train")
    assert (episode.pick_names, episode.place_names) == (("red block",), ("blue bowl",)) and episode.success
    data_of(Path("runs/live/episodes"))


def test_nothing_moves_when_the_person_says_no() -> None:
    arm = FakeArm()
    answers = Answers({"pick up at": "no", "[yes/no": "yes"})
    done, _ = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert done["sentences"][0]["outcome"] == "declined" and arm.told("move", "grip") == []


def test_an_empty_grip_is_tried_again_with_a_new_picture_and_a_new_question() -> None:
    arm = FakeArm(faults=Faults(grips=False))
    answers = Answers({"was it done": "no", "[yes/no": "yes"})
    done, _ = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    (course,) = done["sentences"]
    assert len(course["attempts"]) == 2 and course["failure"] == "no_grasp"
    assert sum("pick up at" in question for question in answers.asked) == 2
    (episode,) = read_episodes(Path("runs/live/episodes"))
    assert episode.steps == 2 and not (episode.color[0] == episode.color[1]).all()


def test_a_plan_whose_end_is_outside_the_limits_is_refused_before_its_first_motion() -> None:
    arm, answers = FakeArm(), yes()
    robot = guarded(arm, answers=answers, limits={"high": [0.8, 0.3, 0.6]})
    done, told = session(f"instruction='{SENTENCE}'", driver=robot, answers=answers)
    (course,) = done["sentences"]
    plan = course["attempts"][0]["plan"]
    assert plan["pick"][1] < 0.3 < plan["place"][1]  # else this picture's noise tests nothing: choose another limit
    assert course["outcome"] == "refused" and "travel at" in told and "box" in told
    assert arm.told("move", "grip") == []


def test_the_journal_of_a_session_can_be_played_back_as_a_session() -> None:
    arm, answers = FakeArm(faults=Faults(contact_at=0.03)), yes()
    robot = guarded(arm, answers=answers, journal=Path("journal.jsonl"))
    recorded, _ = session(f"instruction='{SENTENCE}'", driver=robot, answers=answers)
    Path("runs/live").rename("runs/recorded")
    replayed, told = session(f"instruction='{SENTENCE}'", "robot=replay", "robot.journal=journal.jsonl")
    assert "a recording, nothing moves" in told
    assert replayed["sentences"][0]["attempts"] == recorded["sentences"][0]["attempts"]
    assert replayed["sentences"][0]["outcome"] == "done"


# Things that go wrong -----------------------------------------------------------------------------------------------


def test_without_a_picture_that_can_be_used_no_action_is_computed_until_there_is_one() -> None:
    arm = FakeArm(faults=Faults(nan_depth=True))

    def mend() -> str:
        arm.faults.nan_depth = False
        assert arm.told("move", "grip") == []
        return ""

    answers = Answers({"Enter looks again": ["", mend], "[yes/no": "yes"})
    done, told = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert told.count("no action is computed") == 2 and "NaN" in told
    assert done["sentences"][0]["outcome"] == "done"


def test_a_policy_that_sees_heights_doubts_a_picture_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = deploy_session.decide

    def decide_by_heights(policy: Any, *told: Any) -> Any:
        decided = decide(policy, *told)
        policy.picture = "height"
        return decided

    monkeypatch.setattr(deploy_session, "decide", decide_by_heights)
    arm = FakeArm()  # its picture is flat
    answers = Answers({"go on with this plan": "no", "[yes/no": "yes"})
    done, told = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert "nothing here is higher than the table" in told
    assert done["sentences"][0]["outcome"] == "declined" and arm.told("move", "grip") == []


def test_a_sentence_is_given_up_when_nobody_wants_to_look_again() -> None:
    arm = FakeArm(faults=Faults(nan_depth=True))
    answers = Answers({"Enter looks again": "q", "[yes/no": "yes"})
    done, _ = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert done["sentences"][0]["outcome"] == "no picture" and arm.told("move", "grip") == []


def test_a_robot_that_stopped_is_used_again_after_a_person_looked_and_the_next_sentence_is_done() -> None:
    Path("told.txt").write_text(f"{SENTENCE}\n{SENTENCE}\n")
    arm = FakeArm()
    arm.faults.raises = None

    def first_action() -> str:
        arm.faults.raises = DeadlineExceeded("the target was not reached in 3 s")
        return "yes"

    answers = Answers({"pick up at": [first_action, "yes"], "[yes/no": "yes"})
    robot = guarded(arm, answers=answers)
    done, told = session("instructions=told.txt", driver=robot, answers=answers)
    assert [course["outcome"] for course in done["sentences"]] == ["stopped", "done"]
    assert "DeadlineExceeded" in done["sentences"][0]["detail"]
    assert "recovered" in told and arm.told("recover") == [{"operator": "Ada"}]
    assert len(read_episodes(Path("runs/live/episodes"))) == 1


def test_a_locked_robot_is_asked_about_again_until_it_was_unlocked_by_hand() -> None:
    arm = FakeArm()

    def lock() -> str:
        arm.faults.mode = Mode.PROTECTIVE_STOP
        return "yes"

    def unlock() -> str:
        arm.faults.mode = Mode.OK
        return "yes"

    answers = Answers({"pick up at": lock, "wants to use it again": ["yes", unlock], "[yes/no": "yes"})
    done, told = session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert done["sentences"][0]["outcome"] == "stopped" and told.count("not recovered") == 1


def test_a_session_ends_when_nobody_takes_the_robot_back_into_use() -> None:
    arm = FakeArm()

    def lose() -> str:
        arm.faults.silent = True
        return "yes"

    answers = Answers({"pick up at": lose, "wants to use it again": "no", "[yes/no": "yes"})
    with pytest.raises(SessionEnded, match="not taken back into use"):
        session(f"instruction='{SENTENCE}'", driver=guarded(arm, answers=answers), answers=answers)
    assert results()["sentences"][0]["outcome"] == "stopped"


@pytest.mark.parametrize("bare", [True, False])
def test_ctrl_c_stops_the_robot_before_anything_else(bare: bool) -> None:
    arm = FakeArm()

    def interrupt() -> str:
        arm.faults.raises = KeyboardInterrupt()
        return "yes"

    answers = Answers({"go on" if bare else "pick up at": interrupt, "[yes/no": "yes"})
    robot = arm if bare else guarded(arm, answers=answers)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        session(f"instruction='{SENTENCE}'", driver=robot, answers=answers)
    after = [name for name, _ in arm.calls[[name for name, _ in arm.calls].index("move") + 1 :]]
    assert "stop" in after and not set(after) & {"move", "grip", "home", "release"}
    assert results()["sentences"][0]["outcome"] == "interrupted"


# Who may be asked ---------------------------------------------------------------------------------------------------


def test_a_real_robot_that_moves_is_refused_where_standard_input_is_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n" * 9))
    told = ["deploy", "robot=real_ur", "robot.host=127.0.0.9", f"robot.profile={EXAMPLE}", "robot.dry_run=false"]
    told += ["camera=loopback"]
    assert main([*told, f"instruction='{SENTENCE}'"]) == 2
    assert "a pipe is no person" in capsys.readouterr().err and not Path("runs").exists()
