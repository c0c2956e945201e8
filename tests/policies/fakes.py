"""A stand-in encoder whose features are colours, and scenes to go with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.spec import Recorded
from robo_rlft.records import Observation

COLORS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class ColorEncoder(Recorded, nn.Module):
    """Sees a cell's mean colour, and reads the first colour word of a phrase; `dim` is what it says of itself."""

    def __init__(self, *, stride: int = 4, gain: float = 1.0, dim: int = 3) -> None:
        super().__init__()
        self.stride, self.dim, self.frozen = stride, dim, True
        self.gain = nn.Parameter(torch.tensor(gain), requires_grad=False)

    def freeze(self) -> None:
        self.frozen = True
        self.requires_grad_(False)

    def unfreeze(self) -> None:
        self.frozen = False
        self.requires_grad_(True)

    def dense(self, color: Tensor, *, pixel_size: float | None = None) -> Tensor:
        mean = F.avg_pool2d(color.to(self.gain.dtype) / 255.0, self.stride, ceil_mode=True)
        return F.normalize(self.gain * mean + 1e-3, dim=1)

    def text(self, phrases: Sequence[str]) -> Tensor:
        rows = [next((COLORS[w] for w in phrase.split() if w in COLORS), (0.5, 0.5, 0.5)) for phrase in phrases]
        return F.normalize(torch.tensor(rows, dtype=self.gain.dtype), dim=1)

    def presence(self, similarity: Tensor) -> Tensor:
        return torch.sigmoid(10.0 * (similarity - 0.8))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.gain.detach().double().numpy().tobytes()).hexdigest()


SQUARE = Workspace(x_min=0.0, x_max=0.2, y_min=0.0, y_max=0.2, pixel_size=0.00625)  # 32 x 32
SENTENCE = "put the red block in the green bowl"


def scenes(workspace: Workspace, batch: int, *, seed: int = 0, sentence: str = SENTENCE) -> Observation:
    """Random coloured squares, 4 cm high, on a dark table."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = workspace.shape
    color = torch.full((batch, 3, rows, columns), 20, dtype=torch.uint8)
    height = torch.zeros(batch, rows, columns)
    for scene in range(batch):
        for rgb in COLORS.values():
            size = max(1, rows // 6)
            r = int(torch.randint(rows - size + 1, (), generator=generator))
            c = int(torch.randint(columns - size + 1, (), generator=generator))
            color[scene, :, r : r + size, c : c + size] = (torch.tensor(rgb) * 255).to(torch.uint8)[:, None, None]
            height[scene, r : r + size, c : c + size] = 0.04
    return Observation(color=color, height=height, instruction=(sentence,) * batch)
