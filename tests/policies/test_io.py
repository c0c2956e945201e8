from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from robo_rlft.config import build
from robo_rlft.models import files
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.policies.io import PolicyFileError, load_policy, read_header, save_policy
from robo_rlft.policies.random import zero_shot_policy
from tests.policies.fakes import SQUARE, ColorEncoder, scenes
from tests.policies.test_transporter import make

TRUST = ["tests.policies.fakes.ColorEncoder"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "runs" / "policy.safetensors"
    save_policy(make(), file, metadata={"task": "put_block_in_bowl", "seed": 3, "renderer": "tiny"})
    return file


def rewrite(path: Path, change: Any) -> None:
    """Write a policy file anew with `change(header, tensors)` applied."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["robo_rlft"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, metadata={"robo_rlft": json.dumps(header)})


def test_a_loaded_policy_acts_as_the_saved_one_to_the_bit(path: Path) -> None:
    policy, loaded, scene = make(), load_policy(path, trust=TRUST), scenes(SQUARE, 2)
    assert loaded.spec() == policy.spec()
    assert torch.equal(loaded.act(scene, greedy=True).log_prob, policy.act(scene, greedy=True).log_prob)


@pytest.mark.parametrize("option", ["cliport_small", "linear_probe"])
def test_every_control_is_read_back_without_trust_in_more_than_the_encoder(option: str, tmp_path: Path) -> None:
    node = yaml.safe_load((Path(__file__).parents[2] / "conf" / "policy" / f"{option}.yaml").read_text())
    policy = build(node, path="policy", encoder=ColorEncoder(), workspace=SQUARE, rotations=2).eval()
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.requires_grad else None
    save_policy(policy, tmp_path / "policy.safetensors", metadata={})
    loaded, scene = load_policy(tmp_path / "policy.safetensors", trust=TRUST), scenes(SQUARE, 2)
    assert loaded.spec() == policy.spec()
    assert torch.equal(loaded.act(scene, greedy=True).log_prob, policy.act(scene, greedy=True).log_prob)


def test_a_file_says_what_it_is(path: Path) -> None:
    header = read_header(path)
    assert (header["format"], header["format_version"], header["rotations"]) == ("robo_rlft.policy", 2, 4)
    assert header["metadata"]["seed"] == 3
    assert header["renderer"] == "tiny"
    assert header["tree"]["args"]["workspace"]["args"]["pixel_size"] == 0.00625
    assert header["encoder_sha256"] == ColorEncoder().sha256
    assert header["versions"]["torch"] == torch.__version__.split("+")[0]


def test_numbers_take_half_the_space_only_where_nothing_is_lost() -> None:
    exact, other = torch.tensor([0.5, 1.0]), torch.tensor([0.1, 1.0])
    assert files.compact(exact).dtype is torch.float16
    assert files.compact(other).dtype is torch.float32


def test_saving_replaces_the_file_whole_and_leaves_nothing_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("robo_rlft.models.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_policy(make(seed=9), path, metadata={})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"expected a policy file at .*none.safetensors, got nothing; check"):
        load_policy(tmp_path / "none.safetensors")


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(PolicyFileError, match="expected a file of format 'robo_rlft.policy'.*format None"):
        load_policy(tmp_path / "foreign.safetensors")


class Malicious:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_files_that_carry_code_are_refused_unopened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled, archive = tmp_path / "policy.pkl", tmp_path / "policy.ckpt"
    pickled.write_bytes(pickle.dumps(Malicious()))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Malicious()))
    for path in (pickled, archive):
        with pytest.raises(PolicyFileError, match="pickle or zip archive, which can run code.*save_policy"):
            load_policy(path)
    assert capsys.readouterr().out == ""


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    # Headers are padded to 8 bytes, so that one in 32 files begins with byte 0x80.
    for length in range(40):
        file = tmp_path / "policy.safetensors"
        save_policy(make(), file, metadata={"note": "x" * 8 * length})
        assert read_header(file)["format"] == "robo_rlft.policy"
        if file.read_bytes()[:1] == b"\x80":
            return
    raise AssertionError("no header of that length came up")


@pytest.mark.parametrize("content", [b"", b"{}", b"not a policy at all"])
def test_rubbish_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "policy.safetensors"
    file.write_bytes(content)
    with pytest.raises(PolicyFileError, match="cannot read it"):
        load_policy(file)


def test_a_cut_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PolicyFileError, match="cannot read it"):
        load_policy(path, trust=TRUST)


def test_a_newer_format_is_refused_by_name(path: Path) -> None:
    rewrite(path, lambda header, tensors: header.update(format_version=3))
    with pytest.raises(PolicyFileError, match=r"robo_rlft.policy of format_version 2 or older.*got format_version 3"):
        load_policy(path, trust=TRUST)


def test_a_policy_from_before_files_said_what_it_sees_saw_colours(tmp_path: Path) -> None:
    policy, old = make(picture="rgbd"), tmp_path / "old.safetensors"
    save_policy(policy, old, metadata={})

    def age(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        header.update(format_version=1)
        del header["tree"]["args"]["picture"]

    rewrite(old, age)
    loaded, scene = load_policy(old, trust=TRUST), scenes(SQUARE, 2)
    assert loaded.picture == "rgbd"
    assert torch.equal(loaded.act(scene, greedy=True).log_prob, policy.act(scene, greedy=True).log_prob)


def test_an_unknown_class_is_refused_by_name_and_not_imported(path: Path) -> None:
    rewrite(path, lambda header, tensors: header["tree"]["args"]["fusion"].update({"class": "antigravity.Fusion"}))
    with pytest.raises(
        PolicyFileError, match=r"'antigravity.Fusion', which is not one of .*trust=\['antigravity.Fusion'\]"
    ):
        load_policy(path, trust=TRUST)
    assert "antigravity" not in sys.modules


def test_trust_is_by_exact_path(path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"tests.policies.fakes.ColorEncoder"):
        load_policy(path, trust=["tests.policies.fakes"])


def test_a_trusted_path_that_is_no_class_is_refused(path: Path) -> None:
    rewrite(path, lambda header, tensors: header["tree"]["args"]["fusion"].update({"class": "os.system", "args": {}}))
    with pytest.raises(PolicyFileError, match="no class"):
        load_policy(path, trust=[*TRUST, "os.system"])


def test_wrong_arguments_are_refused(path: Path) -> None:
    rewrite(path, lambda header, tensors: header["tree"]["args"]["stream"]["args"].update(depth=3))
    with pytest.raises(PolicyFileError, match="cannot build robo_rlft.models.streams.ConvStream.*'depth'"):
        load_policy(path, trust=TRUST)


def test_weights_of_other_shapes_are_refused(path: Path) -> None:
    rewrite(path, lambda header, tensors: header["tree"]["args"]["stream"]["args"].update(width=16))
    with pytest.raises(PolicyFileError, match="do not fit its tree: size mismatch for"):
        load_policy(path, trust=TRUST)


def test_changed_weights_are_refused(path: Path) -> None:
    rewrite(path, lambda header, tensors: tensors["encoder.gain"].add_(1.0))
    with pytest.raises(PolicyFileError, match="the weights in .* SHA-256"):
        load_policy(path, trust=TRUST)


def test_another_encoder_hash_is_refused(path: Path) -> None:
    rewrite(path, lambda header, tensors: header.update(encoder_sha256="0" * 64))
    with pytest.raises(PolicyFileError, match="the encoder in .* SHA-256 0000"):
        load_policy(path, trust=TRUST)


def test_a_policy_with_clip_brings_its_encoder_along_in_under_5_mb(tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = zero_shot_policy(encoder=ClipEncoder(pretrained=None), workspace=SQUARE, rotations=2)
    save_policy(policy, tmp_path / "policy.safetensors", metadata={})
    loaded, scene = load_policy(tmp_path / "policy.safetensors"), scenes(SQUARE, 1)
    assert (tmp_path / "policy.safetensors").stat().st_size < 5_000_000
    assert torch.equal(loaded.act(scene, greedy=True).log_prob, policy.act(scene, greedy=True).log_prob)
    assert loaded.encoder.frozen


@pytest.mark.slow
def test_a_policy_loads_and_acts_without_simulator_and_trainer(tmp_path: Path) -> None:
    file = tmp_path / "policy.safetensors"
    save_policy(zero_shot_policy(encoder=ClipEncoder(pretrained=None), workspace=SQUARE), file, metadata={})
    program = textwrap.dedent("""
        import sys

        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {"pybullet", "hydra", "omegaconf", "lightning", "gymnasium"}:
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Block())
        import robo_rlft
        from tests.policies.fakes import SQUARE, scenes
        policy = robo_rlft.load_policy(sys.argv[1])
        print(tuple(policy.act(scenes(SQUARE, 1)[0], greedy=True).action.pick.shape))
        """)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "(2,)", done.stderr
