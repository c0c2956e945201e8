"""From YAML and overrides to objects: compose, validate, build. With commands/ the only importer of hydra."""

from robo_rlft.config.compose import Composed, compose, groups, sweep
from robo_rlft.config.errors import ConfigError, UserError
from robo_rlft.config.nodes import build, check_arguments, check_node, target_class

__all__ = [
    "Composed",
    "ConfigError",
    "UserError",
    "build",
    "check_arguments",
    "check_node",
    "compose",
    "groups",
    "sweep",
    "target_class",
]
