"""Which errors are the user's to mend, and so end a command with a sentence instead of a traceback."""

from __future__ import annotations

from robo_rlft.config.errors import UserError

# By name, so that asking imports nothing: whoever raised one has imported its module already.
_KNOWN = frozenset(
    {
        "robo_rlft.algorithms.clip_words.WordsError",
        "robo_rlft.algorithms.policy_gradient.ZeroSuccessError",
        "robo_rlft.apps.ask.AskError",
        "robo_rlft.data.archive.EpisodeError",
        "robo_rlft.data.labels.LabelError",
        "robo_rlft.driver.DriverError",
        "robo_rlft.evaluation.files.ResultFileError",
        "robo_rlft.language.instruction.InstructionError",
        "robo_rlft.models.clip_weights.WeightsError",
        "robo_rlft.models.files.ModuleFileError",
        "robo_rlft.rollout.pool.WorkerError",
        "robo_rlft.tasks.task.TaskError",
    }
)


def is_user_error(error: BaseException) -> bool:
    """Tell whether the message alone says what was expected, what came and how to mend it."""
    if isinstance(error, UserError):
        return True
    return any(f"{kind.__module__}.{kind.__qualname__}" in _KNOWN for kind in type(error).__mro__)
