"""`robo-rlft calibrate`."""

from robo_rlft.commands.calibrate.command import check_config, run

__all__ = ["check_config", "run"]
