"""`train algorithm=clip` trains an encoder like any other run, or only teaches it new words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_rlft import load_policy
from robo_rlft.commands.cli import main
from robo_rlft.models.clip import ClipEncoder

CLIP = [
    "algorithm=clip",
    "algorithm.max_steps=4",
    "algorithm.data.steps_per_epoch=2",
    "algorithm.data.scenes=4",
    "algorithm.data.val_scenes=2",
    "algorithm.data.batch_size=2",
    "threads=1",
    "logger=csv",
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_encoder_is_trained_and_serves_as_pretrained_weights(tmp_path: Path) -> None:
    assert main(["train", *CLIP, "run=clip"]) == 0
    weights = tmp_path / "runs" / "clip" / "encoder.safetensors"
    encoder = ClipEncoder(pretrained=str(weights))
    assert encoder.metadata["algorithm"] == "clip"
    results = json.loads((weights.parent / "results.json").read_text())
    assert results["steps"] == 4
    assert any(name.startswith("val/") for name in results["metrics"])


def test_words_are_taught_to_the_encoder_that_ships(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("vermilion = red\n")
    assert main(["train", "algorithm=clip", "words=words.txt", "run=words", "threads=1"]) == 0
    encoder = ClipEncoder(pretrained=str(tmp_path / "runs" / "words" / "encoder.safetensors"))
    assert encoder.unknown_words("vermilion block") == ()
    (taught,) = json.loads((tmp_path / "runs" / "words" / "results.json").read_text())["words"]
    assert taught["cosine_after"] > max(0.9, taught["cosine_before"])


def test_words_are_taught_to_a_policys_encoder(tmp_path: Path) -> None:
    collect = ["collect", "episodes=3", "run=demos", "rotations=2", "threads=1", "workspace.pixel_size=0.025"]
    assert main(collect) == 0
    bc = ["data=runs/demos", "rotations=2", "workspace.pixel_size=0.025", "algorithm.max_steps=1", "run=bc"]
    assert main(["train", *bc, "threads=1", "logger=csv"]) == 0
    (tmp_path / "words.txt").write_text("vermilion = red\n")
    told = ["words=words.txt", "init=runs/bc/policy.safetensors", "run=words", "threads=1"]
    assert main(["train", "algorithm=clip", *told]) == 0
    policy = load_policy(tmp_path / "runs" / "words" / "policy.safetensors")
    assert isinstance(policy.encoder, ClipEncoder)
    assert policy.encoder.unknown_words("vermilion block") == ()
    before = load_policy(tmp_path / "runs" / "bc" / "policy.safetensors")
    assert isinstance(before.encoder, ClipEncoder)
    assert before.encoder.unknown_words("vermilion block") == ("vermilion",)


def test_a_line_that_is_no_pair_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("vermilion\n")
    assert main(["train", "algorithm=clip", "words=words.txt", "run=words"]) == 2
    assert "words.txt" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "words").exists()
