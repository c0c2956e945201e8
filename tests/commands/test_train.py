"""Training runs end to end on tiny grids, resumes where it stopped, and gives the same weights as an unbroken run."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from safetensors.torch import load_file

from robo_rlft import load_policy
from robo_rlft.commands.checkpoints import AtomicCheckpointIO, KeepLast
from robo_rlft.commands.cli import main
from robo_rlft.commands.runs import read_run
from robo_rlft.policies.io import read_header

TINY = ["workspace.pixel_size=0.025", "rotations=2", "threads=1", "encoder.pretrained=null", "logger=csv"]
STREAM = ["policy.stream.width=8", "policy.stream.dilations=[1]"]
BC = [*TINY, *STREAM, "algorithm.max_steps=4", "algorithm.data.steps_per_epoch=2", "algorithm.data.batch_size=2"]
RLOO = [
    *TINY,
    *STREAM,
    "algorithm=rloo",
    "algorithm.iterations=3",
    "algorithm.data.scenes=2",
    "algorithm.data.samples=2",
    "algorithm.allow_zero_success=true",
]

PPO = [
    *TINY,
    *STREAM,
    "algorithm=ppo",
    "algorithm.iterations=3",
    "algorithm.critic_warmup=1",
    "algorithm.critic.width=4",
    "algorithm.data.episodes=12",
    "algorithm.allow_zero_success=true",
]


@pytest.fixture(autouse=True)
def in_a_folder_with_demonstrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    assert main(["collect", "episodes=4", "run=demos", "rotations=2", "threads=1", TINY[0]]) == 0
    yield
    torch.set_num_threads(threads)


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Make a run end as if it had been killed, early in an epoch."""

    def stop(self: KeepLast, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch == epoch:
            raise RuntimeError("killed")

    monkeypatch.setattr(KeepLast, "on_train_epoch_start", stop)


def column(run: Path, name: str) -> list[str]:
    with (run / "metrics.csv").open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("overrides", "norm"),
    [
        (["data=runs/demos", *BC], "train/grad_norm"),
        ([*RLOO, "encoder.pretrained=tabletop", "algorithm.data.scenes=6"], "losses/grad_norm"),
        ([*PPO, "encoder.pretrained=tabletop"], "losses/grad_norm"),
        ([*PPO, "encoder.pretrained=tabletop", "algorithm.critic_warmup=2"], "losses/grad_norm"),
    ],
    ids=["bc", "rloo", "ppo", "ppo in its critic's warm-up"],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    overrides: list[str], norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "runs" / "whole", tmp_path / "runs" / "broken"
    assert main(["train", *overrides, "run=whole"]) == 0
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 1)
        with pytest.raises(RuntimeError, match="killed"):
            main(["train", *overrides, "run=broken"])
    assert read_run(broken)["status"] == "unfinished"
    assert (broken / "checkpoints" / "last.ckpt").exists()
    assert main(["train", *overrides, "run=broken"]) == 0
    expected, found = load_file(whole / "policy.safetensors"), load_file(broken / "policy.safetensors")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert column(broken, "step") == column(whole, "step")
    assert column(broken, norm) == column(whole, norm)
    assert max(float(value) for value in column(whole, norm) if value) > 0.0  # it did learn


def test_a_run_leaves_a_policy_its_config_metrics_and_results(tmp_path: Path) -> None:
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0
    run = tmp_path / "runs" / "bc"
    policy = load_policy(run / "policy.safetensors")
    assert (policy.workspace.shape, policy.rotations) == ((40, 20), 2)
    assert {"config.yaml", "metrics.csv", "results.json", "checkpoints", "run.json"} <= {p.name for p in run.iterdir()}
    assert json.loads((run / "results.json").read_text())["steps"] == 4
    assert main(["evaluate", "checkpoint=runs/bc/policy.safetensors", "episodes=3", "threads=1", "run=ev"]) == 0
    assert json.loads((tmp_path / "runs" / "ev" / "results.json").read_text())["episodes"] == 3


def test_training_starts_from_the_weights_of_init_and_takes_its_workspace(tmp_path: Path) -> None:
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0
    rloo = [o for o in RLOO if o not in (*TINY[:2], *STREAM, TINY[3])]
    assert main(["train", *rloo, "init=runs/bc/policy.safetensors", "algorithm.iterations=1", "run=rl"]) == 0
    policy = load_policy(tmp_path / "runs" / "rl" / "policy.safetensors")
    assert (policy.workspace.shape, policy.rotations) == ((40, 20), 2)


def test_another_workspace_than_the_policys_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "checkpoint=runs/bc/policy.safetensors", "workspace=fine"]) == 2
    assert "leave workspace= out" in capsys.readouterr().err


def test_a_graphics_card_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "algorithm=rloo", "trainer.accelerator=gpu"]) == 2
    assert "trainer.accelerator: there is no graphics card here" in capsys.readouterr().err


def test_several_cards_and_a_card_for_words_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert main(["train", "algorithm=bc", "trainer.devices=2"]) == 2
    assert "trainer.devices: one is what training here is made for; got 2" in capsys.readouterr().err
    (tmp_path / "words.txt").write_text("tyre = ring\n")
    told = ["algorithm=clip", f"words={tmp_path / 'words.txt'}", "trainer.accelerator=gpu"]
    assert main(["train", *told]) == 2
    assert "words=FILE is fitted in seconds on the processor" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_graphics_card_trains_every_algorithm(tmp_path: Path) -> None:
    small = ["workspace=coarse", "rotations=4", "trainer.accelerator=gpu"]
    bc, rl = tmp_path / "bc", tmp_path / "rl"
    told = [f"init={bc}/policy.safetensors", *small]
    tuned = ["algorithm=rloo", "algorithm.iterations=2", "algorithm.allow_zero_success=true"]
    demonstrations = ["demonstrator=noisy", "workspace=coarse", "rotations=4", f"output={tmp_path / 'demos'}"]
    assert main(["collect", "episodes=10", *demonstrations]) == 0
    assert main(["train", "algorithm=bc", f"data={tmp_path / 'demos'}", *small, f"output={bc}"]) == 0
    assert main(["train", *tuned, "algorithm.data.record=true", *told, f"output={rl}"]) == 0
    cloned = ["algorithm=filtered_bc", "algorithm.max_steps=5", f"data={rl}/decisions", f"output={tmp_path / 'cloned'}"]
    assert main(["train", *cloned, *told]) == 0
    encoder = ["algorithm=clip", "algorithm.max_steps=2", f"output={tmp_path / 'clip'}", "trainer.accelerator=gpu"]
    assert main(["train", *encoder]) == 0
    assert read_run(rl)["graphics_card"] == torch.cuda.get_device_name()


def test_another_policy_than_the_files_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "checkpoint=runs/bc/policy.safetensors", "policy.picture=rgbd"]) == 2
    assert "policy.picture: the policy file has height, got rgbd; leave it out" in capsys.readouterr().err


def test_rl_from_a_policy_that_never_succeeds_is_refused_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *[o for o in RLOO if "allow_zero" not in o], "algorithm.data.scenes=1", "run=rl"]) == 2
    assert "algorithm.allow_zero_success=true" in capsys.readouterr().err


def test_a_critic_is_in_the_checkpoint_and_not_in_the_policys_file(tmp_path: Path) -> None:
    assert main(["train", *PPO, "run=rl"]) == 0
    run = tmp_path / "runs" / "rl"
    assert not any("critic" in name for name in load_file(run / "policy.safetensors"))
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith("critic.") for name in kept)


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)

    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, target)
    assert torch.load(target, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".ckpt")] == ["last.ckpt"]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_is_no_success(
    signal_number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: KeepLast, trainer: Trainer, module: LightningModule) -> None:
        os.kill(os.getpid(), signal_number)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with monkeypatch.context() as patch:
        patch.setattr(KeepLast, "on_train_epoch_start", stop)
        assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 130
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert "the same command goes on" in capsys.readouterr().err
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0


def test_leaked_demonstrations_mark_the_run_and_its_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect = ["collect", "episodes=4", "rotations=2", "threads=1", TINY[0], "run=leaked", "split=unseen"]
    assert main(collect) == 0
    assert main(["train", "data=runs/leaked", *BC, "run=bc"]) == 2
    assert "allow_leak=true, which marks the run" in capsys.readouterr().err
    assert main(["train", "data=runs/leaked", *BC, "run=bc", "allow_leak=true"]) == 0
    assert read_run(tmp_path / "runs" / "bc")["notes"]["leak"] == "trained on unseen/train"
    header = read_header(tmp_path / "runs" / "bc" / "policy.safetensors")
    assert header["metadata"]["leak"] == "trained on unseen/train"


def test_an_evaluation_of_a_file_that_changed_since_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "data=runs/demos", *BC, "run=bc"]) == 0
    evaluate = ["evaluate", "checkpoint=runs/bc/policy.safetensors", "episodes=1", "threads=1", "run=ev"]
    assert main(evaluate) == 0
    assert main(evaluate) == 0
    assert main(["train", "data=runs/demos", *BC, "run=bc", "seed=1", "overwrite=true"]) == 0
    capsys.readouterr()
    assert main(evaluate) == 2
    assert "checkpoint: the file has changed since" in capsys.readouterr().err


def test_sentences_are_all_checked_before_the_first_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "own.jsonl"
    good = {"scene_seed": 0, "sentence": "put the red block in the blue bowl"}
    evaluate = ["evaluate", "checkpoint=random", "threads=1", "run=ev", f"instructions={lines}", TINY[0]]
    for bad, message in (
        ({"scene_seed": 7, "sentence": "dance"}, "scene 7, 'dance': expected a sentence that names what to pick"),
        ({**good, "pick": "mauve block", "place": "blue bowl"}, "no 'mauve block' in this scene; it holds"),
    ):
        lines.write_text("\n".join(json.dumps(line) for line in (good, bad)))
        assert main(evaluate) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "runs" / "ev").exists()
    lines.write_text(json.dumps(good))
    assert main(evaluate) == 0
    lines.write_text(json.dumps({**good, "scene_seed": 1}))
    assert main(evaluate) == 2
    assert "instructions: the file has changed since" in capsys.readouterr().err
