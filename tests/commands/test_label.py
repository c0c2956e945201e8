"""`robo-rlft label` asks about recorded attempts, and goes on where it was stopped, however it was."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from robo_rlft.commands.cli import main
from robo_rlft.data.episodes import EpisodeWriter, read_episode
from robo_rlft.data.labels import read_labels
from robo_rlft.evaluation.video import decode_mp4
from robo_rlft.rollout.attempts import Actor, record_attempts
from robo_rlft.rollout.pool import EnvPool
from tests.rollout.test_collect import HighestPixelPolicy
from tests.simulated import env_factory

LABEL = ["label", "from=tries", "threads=1"]
PATIENCE = 300.0  # seconds; busy machines take their time


def record(folder: Path, scenes: int, tries: int) -> None:
    """Record attempts as `collect checkpoint=FILE` does, of a policy that needs no training."""
    import torch

    with EnvPool(make_env=env_factory(blocks=1)) as pool:
        episodes = record_attempts(
            pool,
            Actor(policy=HighestPixelPolicy(), workspace=pool._env.workspace, rotations=4, sha256="ab"),
            range(scenes),
            task="put_block_in_bowl",
            tries=tries,
            generator=torch.Generator().manual_seed(0),
        )
    assert main(["collect", "episodes=1", "rotations=4", "threads=1", f"output={folder}"]) == 0  # for its config
    next(folder.glob("*.npz")).unlink()
    for episode in episodes:
        EpisodeWriter(folder).write(episode)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record(folder / "tries", scenes=6, tries=8)
    return folder


@pytest.fixture(autouse=True)
def there(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tries").symlink_to(recorded / "tries")


def test_a_simulated_person_answers_by_the_true_return(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LABEL, "labeler=simulated", "labeler.noise=0", "output=labels", "questions=12"]) == 0
    assert "13 answers" in capsys.readouterr().out  # one was asked again
    labels = read_labels(Path("labels"))
    assert labels.agreement == (1, 1)
    for label in labels.labels:
        left, right = (read_episode(Path("tries") / name) for name in label.question.episodes)
        assert left.seed == right.seed and left.attempt != right.attempt
        gap = left.return_ - right.return_
        assert label.answer == ("same" if abs(gap) < 1e-6 else "left" if gap > 0 else "right")


def test_attempts_can_be_judged_one_by_one() -> None:
    assert main([*LABEL, "labeler=simulated", "labeler.noise=0", "mode=success", "output=labels"]) == 0
    labels = read_labels(Path("labels")).labels
    assert len({label.question.episodes for label in labels}) == 48
    for label in labels:
        (name,) = label.question.episodes
        assert (label.answer == "success") == read_episode(Path("tries") / name).success


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["from=null"], "from: expected folders of runs"),
        (["from=nowhere"], "there is no 'nowhere'"),
        (["from=tries,tries"], "from: expected one run, got 2"),
        (["mode=guess"], "mode"),
        (["labeler=simulated", "labeler.noise=2"], "from 0 to 1"),
        (["question=3"], "question"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LABEL, *overrides, "output=labels"]) == 2
    said = capsys.readouterr()
    assert message in said.out + said.err


def test_single_attempts_cannot_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "episodes=2", "rotations=4", "threads=1", "output=shown"]) == 0
    assert main([*LABEL, "from=shown", "labeler=simulated"]) == 2
    assert "collect them with tries=2" in capsys.readouterr().err


def test_a_run_that_is_not_finished_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["collect", "episodes=1", "rotations=4", "threads=1", "output=shown"]) == 0
    record = json.loads(Path("shown/run.json").read_text())
    Path("shown/run.json").write_text(json.dumps({**record, "status": "unfinished"}))
    assert main([*LABEL, "from=shown", "labeler=simulated", "mode=success"]) == 2
    assert "is not finished" in capsys.readouterr().err


class Server:
    """`robo-rlft label` in a process of its own."""

    def __init__(self, *overrides: str) -> None:
        command = [sys.executable, "-m", "robo_rlft", *LABEL, "output=labels", *overrides]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        said = ""
        while not (found := re.search(r"http://\S+", said)):
            line = self.process.stdout.readline()
            assert line, f"the page did not open: {said}"
            said += line
        self.url = found[0]
        self.client = httpx.Client(timeout=PATIENCE)

    def state(self) -> dict[str, object]:
        return self.client.get(self.url + "state").json()

    def answer(self, question: object, answer: str) -> dict[str, object]:
        return self.client.post(self.url + "answer", json={"question": question, "answer": answer}).json()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    opened: list[Server] = []
    yield opened
    for server in opened:
        if server.process.poll() is None:
            server.kill()


@pytest.mark.slow
def test_the_page_shows_films_takes_answers_and_ends_when_all_are_given(servers: list[Server]) -> None:
    servers.append(server := Server("questions=3"))
    state = server.state()
    film = httpx.get(f"{server.url}film/{state['films'][0]}.mp4", timeout=PATIENCE)
    assert len(decode_mp4(film.content)) > 20
    while (state := server.state())["question"] is not None:
        server.answer(state["question"], "same")
    assert server.process.wait(timeout=PATIENCE) == 0
    assert len(read_labels(Path("labels")).labels) == 3
    assert main([*LABEL, "output=labels", "questions=3"]) == 0  # finished already


@pytest.mark.slow
def test_sigterm_ends_it_even_where_ctrl_c_is_ignored(servers: list[Server]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        servers.append(server := Server())
    finally:
        signal.signal(signal.SIGINT, before)
    server.answer(server.state()["question"], "left")
    assert server.kill(signal.SIGTERM) == 130
    assert len(read_labels(Path("labels")).labels) == 1


@pytest.mark.slow
def test_every_acknowledged_answer_is_there_once_after_twenty_kills(servers: list[Server]) -> None:
    rng = random.Random(0)
    acknowledged: dict[object, str] = {}
    for _ in range(20):
        servers.append(server := Server("repeat_every=0", "questions=168"))
        killer = threading.Timer(rng.uniform(0.0, 0.5), server.process.kill)  # in the midst of whatever it does then
        try:
            question = server.state()["question"]
            killer.start()
            while question is not None:
                answer = rng.choice(["left", "right", "same", "skip"])
                state = server.answer(question, answer)
                acknowledged[question] = answer
                question = state["question"]
        except httpx.HTTPError:
            pass
        killer.join()
        server.process.wait(timeout=PATIENCE)
        labels = read_labels(Path("labels")).labels
        kept = [(label.question.key, label.answer) for label in labels]
        assert len(dict(kept)) == len(kept)
        assert acknowledged.items() <= dict(kept).items()
        assert len(kept) <= len(acknowledged) + 20  # an answer may be kept whose acknowledgement was cut off
    assert len(acknowledged) >= 20
