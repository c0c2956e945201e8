"""`robo-rlft distill` makes demonstrations of the best attempts, which say whose they are; BC learns from the mix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.commands.distill import Scored, chosen
from robo_rlft.commands.policies import file_sha256
from robo_rlft.commands.runs import read_run
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.demonstrations import examples
from robo_rlft.data.episodes import EpisodeWriter, read_episode, read_episodes
from robo_rlft.policies.io import load_policy, read_header
from robo_rlft.rewards.paid_at_end import PreferenceReward
from tests.commands.test_label_order import save
from tests.commands.test_train import BC, TINY

DISTILL = ["distill", "from=tries", "threads=1", "output=distilled"]
TRUE = [*DISTILL, "reward=progress"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two policies, and attempts of the second one, some of which succeed."""
    folder, threads = tmp_path_factory.mktemp("made"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert main(["collect", "episodes=3", "output=demos", "rotations=2", "threads=1", TINY[0]]) == 0
        for seed in range(2):
            told = [f"seed={seed}", f"algorithm.lr={0.05 * seed}", f"output=bc{seed}"]
            assert main(["train", *BC, "data=demos", *told]) == 0
        told = ["checkpoint=bc1/policy.safetensors", "episodes=4", "tries=3", "seed=1", "threads=1"]
        assert main(["collect", *told, "output=tries"]) == 0
    writer = EpisodeWriter(folder / "tries")
    for number, path in enumerate(sorted((folder / "tries").glob("*.npz"))):  # as if they had come to this
        episode = read_episode(path)
        rewards = episode.rewards * 0.0 + number % 5 / 4.0 / episode.steps
        success = number % 5 == 4
        failure = None if success else "missed_place"
        writer.write(replace(episode, rewards=rewards, success=success, failure=failure))
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(autouse=True)
def there(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_best_of_all_or_of_each_scene_are_chosen() -> None:
    scores = {"a0": 0.9, "a1": 0.8, "b0": 0.1, "b1": 0.8}
    judged = [
        Scored(path=Path(name), scene=("task", "seen", "train", ord(name[0])), score=score)
        for name, score in scores.items()
    ]

    def names(keep: float = 1.0, least: float | None = None, per_scene: int | None = None) -> list[str]:
        return [one.path.name for one in chosen(judged, keep=keep, least=least, per_scene=per_scene)]

    assert names() == ["a0", "a1", "b1", "b0"]
    assert names(keep=0.5) == ["a0", "a1"]
    assert names(keep=0.01) == ["a0"]
    assert names(per_scene=1) == ["a0", "b1"]
    assert names(keep=0.25, per_scene=1) == ["a0"]
    assert names(least=0.8) == ["a0", "a1", "b1"]
    assert names(least=1.0) == []


def test_true_returns_choose_what_succeeded_and_every_episode_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRUE, "keep=0.17"]) == 0  # 2 of 12
    assert "2 of 12 attempts taken over as demonstrations, in distilled" in capsys.readouterr().out
    episodes = read_episodes(Path("distilled"))
    assert [episode.success for episode in episodes] == [True, True]
    for episode in episodes:
        assert episode.policy_sha256 == file_sha256(Path("bc1/policy.safetensors"))
        assert episode.chosen is not None
        assert (episode.chosen.reward, episode.chosen.reward_sha256) == ("progress", None)
        assert episode.chosen.score == pytest.approx(1.0)
        assert (episode.chosen.kl, episode.chosen.reference_sha256) == ((), None)
        name = EpisodeWriter(Path("tries")).path(task=episode.task, split="seen", phase="train", seed=episode.seed)
        before = read_episode(name.with_name(f"{name.stem}-{episode.attempt:03d}.npz"))
        assert (before.instructions, before.pick.tolist()) == (episode.instructions, episode.pick.tolist())
    notes = read_run(Path("distilled"))["notes"]
    assert (notes["episodes"], notes["of"], notes["successes"]) == (2, 12, 2)
    assert main([*TRUE, "keep=0.17"]) == 0
    assert "finished already" in capsys.readouterr().out


def test_a_learned_reward_chooses_what_it_values_most() -> None:
    save(Path("reward.safetensors"), pixel_size=0.025)
    assert main([*DISTILL, "reward.model=reward.safetensors", "reward.pessimism=0.5", "per_scene=1", "keep=1"]) == 0
    reward = PreferenceReward(model=Path("reward.safetensors"), pessimism=0.5)
    everyone = read_episodes(Path("tries"))
    reward.load(workspace=everyone[0].workspace)
    seen = Attempts.of(everyone)
    worth = reward.outcomes(first=seen.first, last=seen.last, scripts=seen.scripts)["preference"]
    best: dict[int, float] = {}
    for episode, score in zip(everyone, worth.tolist(), strict=True):
        best[episode.seed] = max(score, best.get(episode.seed, -9.0))
    kept = read_episodes(Path("distilled"))
    assert Counter(episode.seed for episode in kept) == dict.fromkeys(best, 1)
    for episode in kept:
        assert episode.chosen is not None
        assert episode.chosen.score == pytest.approx(best[episode.seed], abs=1e-5)
        assert episode.chosen.reward_sha256 == file_sha256(Path("reward.safetensors"))


def test_how_far_the_policy_was_from_another_is_told_exactly() -> None:
    assert main([*TRUE, "reference=bc0/policy.safetensors", "keep=0.25"]) == 0
    policy, reference = (load_policy(Path(f"bc{i}/policy.safetensors")).eval() for i in (1, 0))
    for episode in read_episodes(Path("distilled")):
        assert episode.chosen is not None
        assert episode.chosen.reference_sha256 == file_sha256(Path("bc0/policy.safetensors"))
        made = examples([episode])
        picks = made.action.pick[:, None]
        with torch.no_grad():
            own = policy.factors(policy.encode(made.observation), picks)
            theirs = reference.factors(reference.encode(made.observation), picks)
        for t, nats in enumerate(episode.chosen.kl):
            told = 0.0
            for p, q in ((own.pick[t], theirs.pick[t]), (own.place[t, 0], theirs.place[t, 0])):
                possible = p > -1e4
                told += float((p.exp() * (p - q))[possible].sum())
            assert nats == pytest.approx(told, rel=1e-2)
            assert nats > 1e-3
    kl = read_run(Path("distilled"))["notes"]["kl"]
    assert 0.0 < kl["least"] <= kl["mean"] <= kl["most"]


def test_bc_learns_from_demonstrations_and_distilled_attempts_and_says_so() -> None:
    assert main([*TRUE, "reference=bc0/policy.safetensors", "keep=0.25"]) == 0
    assert main(["train", *BC, "data=demos,distilled", "output=mix"]) == 0
    notes = read_run(Path("mix"))["notes"]["data"]
    assert read_header(Path("mix/policy.safetensors"))["metadata"]["data"] == notes
    shown, taken = notes
    assert shown == {"folder": "demos", "episodes": 1, "steps": 1}  # two are held out
    assert (taken["folder"], taken["episodes"], taken["chosen"]) == ("distilled", 3, 3)
    assert taken["policy_sha256"] == [file_sha256(Path("bc1/policy.safetensors"))]
    assert taken["reference_sha256"] == [file_sha256(Path("bc0/policy.safetensors"))]
    assert taken["score"]["most"] == pytest.approx(1.0)
    assert main(["train", *BC, "data=demos", "output=alone"]) == 0
    weights = [load_policy(Path(f"{run}/policy.safetensors")).state_dict() for run in ("mix", "alone")]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_attempts_that_have_changed_are_not_chosen_from_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, made: Path
) -> None:
    assert main([*TRUE, "output=distilled"]) == 0
    record = read_run(Path("distilled"))
    Path("distilled/run.json").write_text(json.dumps({**record, "status": "unfinished"}))
    (tmp_path / "tries").unlink()
    (tmp_path / "tries").mkdir()
    for path in sorted((made / "tries").glob("*.npz"))[1:]:
        (tmp_path / "tries" / path.name).symlink_to(path)
    assert main([*TRUE, "output=distilled"]) == 2
    assert "sha256.from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward=preference"], "reward.model: expected a path"),
        (["from=null"], "from: expected folders of runs"),
        (["from=tries,demos"], "from: expected one run, got 2"),
        (["from=bc0"], "expected episodes (*.npz) in bc0, found none"),
        (["from=demos"], "does not say which policy made it; checkpoint=FILE says so"),
        (["keep=0"], "keep"),
        (["least=1.5"], "the best one's is 1.000"),
        (["reference=nowhere"], "reference: expected a file at nowhere"),
        (["from=demos", "reference=bc0/policy.safetensors"], "names none that is there; expected checkpoint=FILE"),
        (["checkpoint=bc0/policy.safetensors"], "checkpoint: expected the policy that made"),
        (["reward=success", "reward.model=reward.safetensors"], "choose reward=preference"),
        (["reward=preference", "reward.model=nowhere"], "reward: expected a file at nowhere"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("reward.safetensors"), pixel_size=0.025)
    assert main([*TRUE, *overrides]) == 2
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert not Path("distilled").exists()


@pytest.mark.parametrize("algorithm", ["filtered_bc", "rloo"])
def test_what_learns_from_one_folder_refuses_several(algorithm: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"algorithm={algorithm}", "data=demos,tries", "output=refused"]) == 2
    assert "learns from one folder, got 2" in capsys.readouterr().err
