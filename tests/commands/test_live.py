"""Commands that act on a robot without a simulator's help: whose word counts, what is refused, what a kill costs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file

from robo_rlft.apps.ask import Choice, Pictures
from robo_rlft.commands.cli import main
from robo_rlft.commands.deploy.prompts import ConsoleOperator
from robo_rlft.commands.tables import ConsolePerson, PagePerson, RealTable
from robo_rlft.config import ConfigError
from robo_rlft.data.episodes import read_episodes
from robo_rlft.driver import Refused
from robo_rlft.evaluation.results import read_results
from robo_rlft.live import LiveEnv
from robo_rlft.records import Observation
from tests.commands.test_train import BC, TINY

LIVE = ["driver_only=true", "threads=1", "reward=person", "reward.ask=simulated"]
POLICY = "bc/policy.safetensors"
TUNE = [
    *[part for part in TINY if not part.startswith("encoder")],
    "algorithm=weighted_bc",
    f"init={POLICY}",
    "data=demos",
    "algorithm.max_steps=6",
    "algorithm.data.steps_per_epoch=2",
    "algorithm.data.batch_size=2",
    "algorithm.data.episodes=6",
    "algorithm.data.episodes_per_iteration=2",
    *LIVE,
]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    assert main(["collect", "episodes=4", "output=demos", "rotations=2", "threads=1", TINY[0]]) == 0
    assert main(["train", *BC, "data=demos", "output=bc"]) == 0
    yield
    torch.set_num_threads(threads)


def weights(run: str) -> dict[str, torch.Tensor]:
    return load_file(Path(run) / "policy.safetensors")


def test_attempts_are_collected_one_after_the_other_and_say_who_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", f"checkpoint={POLICY}", "episodes=3", "output=tries", *LIVE]) == 0
    assert {(e.told_by, e.attempt) for e in read_episodes(Path("tries"))} == {("simulated", 0)}
    assert main(["collect", f"checkpoint={POLICY}", "episodes=2", "output=unjudged", *LIVE[:2]]) == 0
    assert {(e.told_by, e.success) for e in read_episodes(Path("unjudged"))} == {("nobody", False)}
    assert "nobody said whether they succeeded" in capsys.readouterr().out


def test_what_nobody_judged_is_taken_for_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", f"checkpoint={POLICY}", "episodes=2", "output=unjudged", *LIVE[:2]]) == 0
    tune = ["algorithm.data.logged=unjudged", "output=tuned"]
    for command in (
        ["label", "from=unjudged", "mode=success", "labeler=simulated", "output=labels"],
        ["distill", "from=unjudged", "reward=progress", "output=best"],
        ["train", *TUNE, *tune],
    ):
        assert main(command) == 2
        assert "nobody said whether" in capsys.readouterr().err


def test_whatever_ends_training_the_robot_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_rlft.algorithms import attempt_data

    closed: list[LiveEnv] = []
    close = LiveEnv.close
    monkeypatch.setattr(LiveEnv, "close", lambda env: (closed.append(env), close(env)))
    monkeypatch.setattr(attempt_data, "record_attempts", _refuse)
    assert main(["train", *TUNE, "output=refused"]) == 2
    assert len(closed) == 1


def _refuse(*_: object, **__: object) -> None:
    raise Refused("operator: no", rule="operator")


def test_a_simulated_person_errs_as_often_as_told() -> None:
    assert main(["collect", f"checkpoint={POLICY}", "episodes=4", "output=right", *LIVE]) == 0
    assert main(["collect", f"checkpoint={POLICY}", "episodes=4", "output=wrong", *LIVE, "reward.noise=1.0"]) == 0
    for right, wrong in zip(read_episodes(Path("right")), read_episodes(Path("wrong")), strict=True):
        assert right.success != wrong.success


def test_a_policy_is_evaluated_by_whoever_judges() -> None:
    assert main(["evaluate", f"checkpoint={POLICY}", "episodes=3", "output=judged", *LIVE]) == 0
    assert main(["evaluate", f"checkpoint={POLICY}", "episodes=3", "output=told", "threads=1", "batch_size=1"]) == 0
    assert read_results(Path("judged/results.json")).told_by == "simulated"
    judged, told = (read_results(Path(name) / "results.json") for name in ("judged", "told"))
    assert [s.success for s in judged.scenes] == [s.success for s in told.scenes]


def test_training_that_is_killed_goes_on_with_every_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", *TUNE, "output=whole"]) == 0
    from robo_rlft.algorithms import attempt_data

    real, made = attempt_data.record_attempts, 0

    def killed_at_the_fourth(*args: object, **options: object) -> object:
        nonlocal made
        made += 1
        if made == 4:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(attempt_data, "record_attempts", killed_at_the_fourth)
    assert main(["train", *TUNE, "output=broken"]) == 130
    assert len(list(Path("broken/episodes").glob("*.npz"))) == 3
    assert main(["train", *TUNE, "output=broken"]) == 0
    assert made == 4 + 3  # six episodes, one of them begun twice
    for name, value in weights("whole").items():
        assert torch.equal(value, weights("broken")[name]), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "algorithm=rloo", f"init={POLICY}", *LIVE], "expected algorithm=weighted_bc"),
        (["train", *TUNE[:-2], "reward=progress"], "nobody knows a task's progress on a table"),
        (["train", *TUNE, "workers=2"], "workers: a robot is one; expected 0, got 2"),
        (["train", *TUNE, "driver_only=false"], "reward: a person judges what a robot does"),
        (["collect", "episodes=1", *LIVE], "checkpoint: with driver_only=true a policy acts"),
        (["collect", f"checkpoint={POLICY}", "tries=2", *LIVE], "tries: on a table no scene comes back"),
        (["evaluate", "checkpoint=oracle", *LIVE], "expected checkpoint=FILE"),
        (["evaluate", f"checkpoint={POLICY}", *LIVE, "instructions=mine.txt"], "a simulated table's task says its own"),
        (["collect", "episodes=1", "instructions=mine.txt"], "a simulated table's task says its own"),
        (
            ["evaluate", f"checkpoint={POLICY}", "robot=real_ur", "robot.host=127.0.0.9", "camera=loopback", *LIVE],
            "reward.ask: a simulated person sees simulated tables only",
        ),
        (
            ["train", *TUNE, "robot=real_ur", "robot.host=127.0.0.9", "camera=loopback", "reward.ask=keyboard"],
            "instructions: a real table says nothing",
        ),
        (
            ["train", *TUNE, "robot=real_ur", "robot.host=127.0.0.9", "camera=loopback", "reward.ask=keyboard"],
            "expected robot.dry_run=false",
        ),
        (
            ["train", "algorithm=rloo", f"init={POLICY}", "robot=real_ur", "robot.host=127.0.0.9", "reward=person"],
            "expected algorithm=weighted_bc",
        ),
    ],
)
def test_what_a_table_cannot_give_is_refused_with_advice(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "output=refused"]) == 2
    said = capsys.readouterr()
    assert message in " ".join((said.out + said.err).split())
    assert not Path("refused").exists()


def a_picture() -> Observation:
    return Observation(color=torch.zeros(3, 4, 4, dtype=torch.uint8), height=torch.zeros(4, 4), instruction="x")


def person(*typed: str) -> ConsolePerson:
    lines = iter(typed)

    def ask(question: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    return ConsolePerson(ConsoleOperator(name="ada", ask=ask), mend="come")


def test_a_person_at_the_keyboard_is_asked_until_the_answer_is_one() -> None:
    seen = a_picture()
    assert person("perhaps", "y").done("do it", before=seen, after=seen)
    assert not person("no").done("do it", before=seen, after=seen)


def test_only_enter_or_yes_says_that_the_table_is_laid() -> None:
    with pytest.raises(KeyboardInterrupt):  # a no is asked again, and then the input ends
        person("no", "wait").ready("lay it")
    person("no", "").ready("lay it")
    person("yes").ready("lay it")


@pytest.mark.parametrize("typed", [(), ("q",)])
def test_a_person_who_stops_or_leaves_gives_no_answer(typed: tuple[str, ...]) -> None:
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        person(*typed).done("do it", before=a_picture(), after=a_picture())
    with pytest.raises(KeyboardInterrupt):
        person(*typed).ready("lay it")


class Page:
    """A page whose person answers as told."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def ask(self, question: str, choices: Sequence[Choice], *, pictures: Pictures = ()) -> str:
        self.asked.append((question, {choice.value for choice in choices}, [name for name, _ in pictures]))
        return self.answers.pop(0)


def test_a_person_at_the_page_sees_both_pictures_and_says_done_or_not() -> None:
    page, seen = Page("yes", "no", "ready", "stop"), a_picture()
    somebody = PagePerson(page)  # type: ignore[arg-type]
    assert somebody.done("do it", before=seen, after=seen)
    assert not somebody.done("do it", before=seen, after=seen)
    somebody.ready("lay it")
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        somebody.done("do it", before=seen, after=seen)
    assert page.asked[0] == ("Was it done: 'do it'?", {"yes", "no", "stop"}, ["before", "after"])


@pytest.mark.slow
def test_success_is_told_on_the_page_and_kept_with_each_episode() -> None:
    command = ["collect", f"checkpoint={POLICY}", "episodes=2", "output=asked", "driver_only=true", "threads=1"]
    with subprocess.Popen(
        [sys.executable, "-m", "robo_rlft", *command, "reward=person", "reward.ask=page"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://127\S+/", line)))
        for answer in ("yes", "no"):
            while (question := httpx.get(url + "state").json()["question"]) is None:
                time.sleep(0.1)
            time.sleep(0.6)  # a question takes no answer in its first half second
            assert (
                httpx.post(url + "answer", json={"question": question["number"], "answer": answer}).status_code == 200
            )
        assert process.wait(timeout=60) == 0
    assert [episode.success for episode in read_episodes(Path("asked"))] == [True, False]


def test_nobody_at_a_terminal_is_no_person() -> None:
    with pytest.raises(ConfigError, match="standard input is not a terminal: come"):
        ConsolePerson(ConsoleOperator(name="ada"), mend="come")


def test_a_real_tables_sentences_come_in_turn_and_it_is_laid_by_a_person_or_not_at_all() -> None:
    sentences = ["put the red block in the blue bowl", "put the green block in the gray bowl"]
    asked: list[str] = []

    class Laying(ConsolePerson):
        def ready(self, question: str) -> None:
            asked.append(question)

    somebody = Laying(ConsoleOperator(name="ada", ask=lambda question: ""), mend="come")
    table = RealTable(sentences, person=somebody, ask=True)
    said = [table.lay(number).sentences[0] for number in range(3)]
    assert said == [sentences[0], sentences[1], sentences[0]]
    assert len(asked) == 3
    again = RealTable(sentences, person=somebody, ask=False)  # after a kill
    assert again.lay(1).sentences[0] == sentences[1]
    skipping = RealTable(sentences, person=somebody, ask=False)
    assert skipping.lay(0).goals[0].pick == "red block"
    assert len(asked) == 3
