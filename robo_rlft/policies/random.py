"""Two baselines that were never trained: chance, and CLIP alone.

Knows nothing of tasks or learning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.fusion import SimilarityFusion
from robo_rlft.models.streams import ConvStream
from robo_rlft.policies.factors import draw, flat_pixel, unflatten_pixel
from robo_rlft.policies.parts import Encoder
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import ActionScores, Decision, Observation, PickPlace


class RandomPolicy(nn.Module):
    """Picks uniformly where something stands, places anywhere, turns by any bin; reads no sentence.

    Args:
        workspace: the grid of pixels.
        rotations: R, bins of the whole turn.
        height_mask: picks are allowed where the height map is above this, metres; anywhere if it is nowhere.
    """

    def __init__(self, *, workspace: Workspace, rotations: int = 1, height_mask: float = 0.005) -> None:
        super().__init__()
        self.workspace, self.rotations, self.height_mask = workspace, rotations, height_mask

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        """Choose actions (B,), or (B, K) with `samples=K`; `greedy` changes nothing, as all are equally likely."""
        log_pick = self._log_pick(observation)
        batch, count = len(log_pick), samples or 1
        uniform = torch.rand(3, batch, count, generator=generator, dtype=torch.float64)
        place = (uniform[1] * self._pixels).long()
        columns = self.workspace.columns
        action = PickPlace(
            pick=unflatten_pixel(draw(log_pick, uniform[0]), columns),
            place=unflatten_pixel(place, columns),
            rotation=(uniform[2] * self.rotations).long(),
        )
        decision = Decision(
            action=action,
            log_prob=self._scores(log_pick, action).log_prob,
            confidence=torch.ones(batch, count),  # it doubts nothing, as it reads nothing
        )
        decision = decision[:, 0] if samples is None else decision
        return decision[0] if isinstance(observation.instruction, str) else decision

    def evaluate_actions(self, observation: Observation, action: PickPlace) -> ActionScores:
        """Score actions (B,) or (B, K) for observations (B,); one observation takes () or (K,)."""
        single = isinstance(observation.instruction, str)
        action = action[None] if single else action
        many = action.rotation.ndim == 2
        scores = self._scores(self._log_pick(observation), action if many else action[:, None])
        scores = scores if many else scores[:, 0]
        return scores[0] if single else scores

    @property
    def _pixels(self) -> int:
        return self.workspace.rows * self.workspace.columns

    def _log_pick(self, observation: Observation) -> Tensor:
        """Return the log-probabilities (B, H W) of picks."""
        flat = observation.height.reshape(-1, self._pixels)
        mask = flat > self.height_mask
        mask = mask | ~mask.any(dim=1, keepdim=True)
        return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf).log_softmax(dim=1)

    def _scores(self, log_pick: Tensor, action: PickPlace) -> ActionScores:
        pick = log_pick.gather(1, flat_pixel(action.pick, self.workspace.shape))
        place = torch.full_like(pick, -math.log(self._pixels * self.rotations))
        pick_entropy = -log_pick.amax(dim=1, keepdim=True).expand_as(pick)
        return ActionScores(pick_log_prob=pick, place_log_prob=place, pick_entropy=pick_entropy, place_entropy=-place)


def zero_shot_policy(*, encoder: Encoder, workspace: Workspace, rotations: int = 1) -> TransporterPolicy:
    """Return CLIP alone: an untrained policy, which is exactly the prior of the similarity maps."""
    return TransporterPolicy(
        encoder=encoder, fusion=SimilarityFusion(), stream=ConvStream(), workspace=workspace, rotations=rotations
    ).eval()
