"""What CLIP alone says of an attempt: whether what was to be picked is now seen where it was to be placed.

Knows encoders, pictures and sentences; nothing is learned from people, and no simulator is asked. After Mahmoudieh,
Pathak and Darrell 2022, "Zero-Shot Reward Specification via Grounded Natural Language": CLIP finds the things that a
sentence names, and a spatial rule on where they are is the reward. Ours is one rule, on maps instead of single points.
The cosine of a whole picture with a sentence (Rocamonde et al. 2023, "Vision-Language Models are Zero-Shot Reward
Models for Reinforcement Learning") is right less often than chance here: what is covered is seen less.
Axis letters: N attempts, B sentences of them, h w rows and columns of the dense features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robo_rlft.geometry import Workspace
from robo_rlft.models.outcomes import cosine_maps
from robo_rlft.records import Observation
from robo_rlft.rewards.seeing import SeeingAndReading, read, see


class SimilarityReward:
    """One term, `similarity`: how much nearer to its place what was to be picked is seen after an attempt than before.

    In [-1, 1], the mean over the sentences of a script; paid at the end of an episode, and nothing for single steps.
    """

    def __init__(
        self,
        *,
        workspace: Workspace,
        encoder: SeeingAndReading | None = None,
        temperature: float = 0.1,
        reach: float = 0.03,
    ) -> None:
        """Choose the eyes and the rule.

        Args:
            workspace: of the pictures.
            encoder: image and text features; None where nobody is going to ask for outcomes, as in an environment.
            temperature: of the softmax over cosines that says where a thing is.
            reach: metres; things this far apart, each in one cell, count as exp(-1/2) together.

        Raises:
            ValueError: the temperature or the reach is not above 0.
        """
        if not (temperature > 0.0 and reach > 0.0):
            raise ValueError(f"expected a temperature and a reach above 0, got {temperature} and {reach}")
        self.workspace, self.encoder = workspace, encoder
        self.temperature, self.reach = temperature, reach

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Pay nothing for a single step."""
        return {}

    @torch.no_grad()
    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return the term, (N,).

        Raises:
            InstructionError: A sentence names nothing to pick or no place for it.
        """
        if self.encoder is None:
            raise RuntimeError("expected an encoder to see and read with, got none")
        phrases = read(self.encoder, [sentence for script in scripts for sentence in script])
        of = torch.tensor([i for i, script in enumerate(scripts) for _ in script], device=phrases.device)
        # The words are where the encoder is, which may be a graphics card; pictures come from the processor.
        before, after = (self._see(seen.color.to(phrases.device))[of] for seen in (first, last))
        cosines = cosine_maps(before, after, phrases)
        change = self._together(cosines[:, 2:]) - self._together(cosines[:, :2])
        total = change.new_zeros(len(scripts)).index_add(0, of, change).to(first.color.device)
        return {"similarity": total / torch.tensor([len(script) for script in scripts])}

    def _see(self, color: Tensor) -> Tensor:
        assert self.encoder is not None
        return see(self.encoder, color, pixel_size=self.workspace.pixel_size)

    def _together(self, cosines: Tensor) -> Tensor:
        rows, columns = self.workspace.shape
        height, width = (n * self.workspace.pixel_size for n in (rows, columns))
        return together(cosines, size=(height, width), temperature=self.temperature, reach=self.reach)


def together(cosines: Tensor, *, size: tuple[float, float], temperature: float, reach: float) -> Tensor:
    """Return how far two things are seen at the same place, (B,), in [0, 1]; 1 where their maps are equal.

    With p and q, the softmax of each map, for where the things may be, and k(p, q) = E exp(-|x - y|^2 / (2 reach^2))
    over x drawn from p and y from q, it is k(p, q) / sqrt(k(p, p) k(q, q)): the cosine of the two in the kernel's space
    (Smola et al. 2007, "A Hilbert Space Embedding for Distributions"). Divided so, a thing that is seen in many cells,
    or in several places, counts as one in a single cell.

    Args:
        cosines: (B, 2, h, w).
        size: metres that the rows and the columns of the maps span.
        temperature: of the softmax.
        reach: metres.
    """
    where = (cosines.flatten(2) / temperature).softmax(dim=-1).view_as(cosines)
    rows, columns = (
        _nearness(n, length / n, reach).to(cosines) for n, length in zip(cosines.shape[-2:], size, strict=True)
    )
    near = rows[None] @ where.flatten(0, 1) @ columns
    products = torch.einsum("bihw,bjhw->bij", where, near.view_as(where))
    return products[:, 0, 1] / (products[:, 0, 0] * products[:, 1, 1]).sqrt()


def _nearness(cells: int, cell: float, reach: float) -> Tensor:
    """Return exp(-d^2 / (2 reach^2)) of the distances between cells in a line, (cells, cells)."""
    at = torch.arange(cells) * cell
    return (-(at[:, None] - at).square() / (2.0 * reach**2)).exp()
