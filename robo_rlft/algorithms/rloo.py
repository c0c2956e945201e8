"""RLOO: policy gradients from groups of rollouts of the same scene, anchored to the policy that they started from.

Kool et al. 2019; Ahmadian et al. 2024, "Back to basics". Knows minibatches of groups, not how they were rolled out.
"""

from __future__ import annotations

from robo_rlft.algorithms.groups import RolloutStats, Stats
from robo_rlft.algorithms.policy_gradient import PolicyGradient, ZeroSuccessError
from robo_rlft.policies.transporter import TransporterPolicy


class Rloo(PolicyGradient):
    """Policy gradients with leave-one-out advantages, which are not divided by a standard deviation.

    Args are those of `PolicyGradient`.
    """

    def __init__(
        self,
        *,
        policy: TransporterPolicy,
        iterations: int = 60,
        lr: float = 5e-4,
        anneal_lr: bool = True,
        warmup_steps: int = 10,
        kl_coef: float = 0.02,
        clip_coef: float = 0.2,
        max_grad_norm: float = 1.0,
        allow_zero_success: bool = False,
    ) -> None:
        super().__init__(
            policy=policy,
            iterations=iterations,
            lr=lr,
            anneal_lr=anneal_lr,
            warmup_steps=warmup_steps,
            kl_coef=kl_coef,
            clip_coef=clip_coef,
            max_grad_norm=max_grad_norm,
            allow_zero_success=allow_zero_success,
        )

    def check_success(self, stats: Stats) -> None:
        """Raise `ZeroSuccessError` if no rollout succeeded and none was worth more than another of its scene."""
        assert isinstance(stats, RolloutStats)
        if stats.success > 0.0 or stats.mixed_groups > 0.0:
            return
        raise ZeroSuccessError(
            f"expected a policy that succeeds at least now and then, but none of its first {stats.rollouts} rollouts "
            "did, and all rollouts of a scene came to the same: there is nothing to reinforce. Start from a better "
            "policy (init=FILE of one trained with algorithm=bc, on more demonstrations or with wider labels), roll "
            "out more (algorithm.data.scenes, algorithm.data.samples), or go on regardless with "
            "algorithm.allow_zero_success=true"
        )
