"""`robo-rlft deploy`."""

from robo_rlft.commands.deploy.command import check_config, run

__all__ = ["check_config", "run"]
