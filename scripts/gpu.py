"""What a graphics card changes: the time of a decision, and time and memory of behaviour cloning at full scale.

Usage: python scripts/gpu.py scenes scenes.npz          where the simulator is: pictures, sentences, decisions of a CPU
       python scripts/gpu.py measure scenes.npz gpu.json  where the card is; needs neither simulator nor trainer
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from robo_rlft.algorithms.losses import pixel_label, rotation_label, soft_cross_entropy
from robo_rlft.geometry import Workspace
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.fusion import SimilarityFusion
from robo_rlft.models.streams import ConvStream
from robo_rlft.policies.io import load_policy
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation

SHIPPED = ROOT / "robo_rlft" / "weights" / "policy.safetensors"
SCENES, ROTATIONS, STEPS, WARMUP = 100, 36, 15, 4
FINE = Workspace(pixel_size=0.003125)


def scenes(target: Path) -> None:
    import robo_rlft

    policy = load_policy(SHIPPED)
    env = robo_rlft.make_env(split="seen", phase="val")
    seen = [env.reset(seed=seed)[0] for seed in range(SCENES)]
    actions = [policy.act(one, greedy=True).action.to_array() for one in seen]
    arrays = {name: np.array([one[name] for one in seen]) for name in ("color", "height", "instruction")}
    np.savez_compressed(target, action=np.array(actions), **arrays)


def measure(source: Path, target: Path) -> None:
    data = np.load(source, allow_pickle=False)
    result: dict[str, Any] = {
        "what": "decisions and behaviour cloning on a graphics card; random weights and pictures where it only costs",
        "command": " ".join(["python", *sys.argv]),
        "device": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "decisions": {device: decisions(data, device) for device in ("cpu", "cuda")},
        "behaviour_cloning": [
            cloning(name, batch=batch, train_encoder=trained)
            for name, batch, trained in (
                ("tabletop", 16, False),
                ("tabletop", 64, False),
                ("RN50-quickgelu", 16, False),
                ("RN50-quickgelu", 16, True),
                ("RN50-quickgelu", 64, True),
            )
        ],
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def decisions(data: Any, device: str) -> dict[str, float]:
    """Return how often the shipped policy decides as a CPU did, and how long it takes."""
    policy, same, seconds = load_policy(SHIPPED).to(device), 0, []
    columns = [data[name] for name in ("color", "height", "instruction", "action")]
    for color, height, sentence, action in zip(*columns, strict=True):
        observation = Observation.of({"color": color, "height": height, "instruction": str(sentence)}).to(device)
        begun = time.perf_counter()
        decided = policy.act(observation, greedy=True).action.to("cpu").to_array()
        seconds.append(time.perf_counter() - begun)
        same += int((decided == action).all())
    return {"same": same, "of": len(seconds), "ms_median": 1e3 * float(np.median(seconds[WARMUP:]))}


def cloning(architecture: str, *, batch: int, train_encoder: bool) -> dict[str, Any]:
    """Return seconds and memory of a gradient step at 320 x 160 pixels and 36 rotations."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    encoder = ClipEncoder(
        architecture=architecture,
        pretrained="tabletop" if architecture == "tabletop" else None,
        pixel_size=None if architecture == "tabletop" else 0.0015625,
    )
    policy = TransporterPolicy(
        encoder=encoder, fusion=SimilarityFusion(), stream=ConvStream(), workspace=FINE, rotations=ROTATIONS
    ).cuda()
    if train_encoder:
        encoder.unfreeze()
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-4)
    rows, columns = FINE.shape
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator}
    observation = Observation(
        color=torch.randint(0, 256, (batch, 3, rows, columns), dtype=torch.uint8, **draw),
        height=torch.rand(batch, rows, columns, **draw) * 0.05,
        instruction=("put the red block in the blue bowl",) * batch,
    ).to("cuda")
    pick, place = (torch.randint(0, columns, (batch, 2), **draw).cuda() for _ in range(2))
    turn = torch.randint(0, ROTATIONS, (batch,), **draw).cuda()
    seconds = []
    for _ in range(STEPS):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        factors = policy.factors(policy.encode(observation), pick)
        turned = rotation_label(turn, ROTATIONS, sigma=0.0)[:, :, None, None]
        where = turned * pixel_label(place, (rows, columns), sigma=1.0)[:, None]
        loss = soft_cross_entropy(factors.pick, pixel_label(pick, (rows, columns), sigma=1.0)).mean()
        loss = loss + soft_cross_entropy(factors.place[:, 0], where).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return {
        "encoder": architecture,
        "encoder_trained": train_encoder,
        "batch": batch,
        "seconds_a_step": round(float(np.median(seconds[WARMUP:])), 4),
        "peak_mb": round(torch.cuda.max_memory_allocated() / 2**20),
    }


if __name__ == "__main__":
    if sys.argv[1] == "scenes":
        scenes(Path(sys.argv[2]))
    else:
        measure(Path(sys.argv[2]), Path(sys.argv[3]))
