"""`robo-rlft label order=disagreement` asks first what members disagree about; `earlier` asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.episodes import read_episode
from robo_rlft.data.labels import Label, read_labels
from robo_rlft.geometry import Workspace
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.outcomes import Judges
from robo_rlft.rewards.learned import LearnedReward, load_reward, save_reward
from tests.commands.test_label import record

LABEL = ["label", "from=tries", "threads=1", "labeler=simulated", "repeat_every=0"]
DISPUTED = [*LABEL, "order=disagreement", "reward_model=reward.safetensors", "output=labels"]


def save(path: Path, *, kind: str = "preference", members: int = 3, seed: int = 0, pixel_size: float = 0.00625) -> None:
    torch.manual_seed(seed)
    reward = LearnedReward(
        encoder=ClipEncoder(pretrained=None),
        judges=Judges(members=members, width=4),
        workspace=Workspace(pixel_size=pixel_size),
        kind=kind,
    )
    save_reward(reward, path, metadata={})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record(folder / "tries", scenes=4, tries=3)
    save(folder / "reward.safetensors")
    return folder


@pytest.fixture(autouse=True)
def there(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tries").symlink_to(recorded / "tries")
    (tmp_path / "reward.safetensors").write_bytes((recorded / "reward.safetensors").read_bytes())
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def labels(folder: str) -> tuple[Label, ...]:
    return read_labels(Path(folder)).labels


def disagreement(label: Label) -> float:
    reward = load_reward(Path("reward.safetensors"))
    seen = Attempts.of([read_episode(Path("tries") / name) for name in label.question.episodes])
    with torch.no_grad():
        scores = reward.score(reward.see(seen.first), reward.see(seen.last), seen.scripts)
    if reward.kind == "success":
        return float(np.std(scores[:, 0].sigmoid().numpy()))
    return float(np.std((scores[:, 0] - scores[:, 1]).numpy()))


def test_pairs_that_the_members_disagree_about_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DISPUTED, "questions=12"]) == 0
    assert "judge: 12/12, attempts" in capsys.readouterr().out
    found = [disagreement(label) for label in labels("labels")]
    assert len(found) == 12 and found[0] > found[-1]
    assert found == pytest.approx(sorted(found, reverse=True), abs=1e-5)


def test_single_attempts_that_the_members_disagree_about_come_first() -> None:
    save(Path("reward.safetensors"), kind="success")
    assert main([*DISPUTED, "mode=success"]) == 0
    found = [disagreement(label) for label in labels("labels")]
    assert found == pytest.approx(sorted(found, reverse=True), abs=1e-5)


def test_what_was_asked_before_is_not_asked_again() -> None:
    assert main([*LABEL, "questions=5", "output=first"]) == 0
    assert main([*LABEL, "questions=4", "earlier=first", "output=second"]) == 0
    assert main([*LABEL, "questions=9", "earlier=first,second", "output=third"]) == 0
    asked = [label.question.key for folder in ("first", "second", "third") for label in labels(folder)]
    assert len(asked) == len(set(asked)) == 12  # three pairs of each of four scenes


def test_a_run_whose_reward_has_changed_is_not_taken_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DISPUTED, "questions=2"]) == 0
    told = json.loads(Path("labels/run.json").read_text())
    Path("labels/run.json").write_text(json.dumps({**told, "status": "unfinished"}))
    assert main([*DISPUTED, "questions=2"]) == 0
    Path("labels/run.json").write_text(json.dumps({**told, "status": "unfinished"}))
    save(Path("reward.safetensors"), seed=1)
    assert main([*DISPUTED, "questions=2"]) == 2
    assert "sha256.reward_model" in capsys.readouterr().err


def test_a_run_from_before_there_was_an_order_is_taken_up() -> None:
    assert main([*LABEL, "questions=2", "output=labels"]) == 0
    config = Path("labels/config.yaml").read_text().splitlines(keepends=True)
    later = ("order:", "reward_model:", "earlier:")
    assert sum(line.startswith(later) for line in config) == 3
    Path("labels/config.yaml").write_text("".join(line for line in config if not line.startswith(later)))
    assert main([*LABEL, "questions=2", "output=labels"]) == 0
    assert main([*LABEL, "questions=2", "output=labels", "earlier=labels"]) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["order=disagreement"], "order=disagreement needs the reward"),
        (["reward_model=reward.safetensors"], "is for order=disagreement"),
        (["order=disagreement", "reward_model=nowhere"], "expected a file at nowhere"),
        (["order=disagreement", "reward_model=tries/run.json"], "reward"),
        ([*DISPUTED[5:], "mode=success"], "expected a reward of kind success for mode=success"),
        (["order=disagreement", "reward_model=single.safetensors"], "an ensemble, whose members may disagree"),
        (["order=disagreement", "reward_model=coarse.safetensors"], "learned from pictures of"),
        (["earlier=tries"], "expected a file at tries/labels.jsonl"),
        (["earlier=others"], "of mode=success in others"),
        (["earlier=all"], "all 12 questions were asked"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("single.safetensors"), members=1)
    save(Path("coarse.safetensors"), pixel_size=0.025)
    assert main([*LABEL, "mode=success", "output=others"]) == 0
    assert main([*LABEL, "output=all"]) == 0
    assert main([*LABEL, *overrides, "output=labels"]) == 2
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert not Path("labels").exists()
