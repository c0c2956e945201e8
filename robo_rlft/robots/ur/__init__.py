"""A UR arm on a network cable: `robot=real_ur`."""

from robo_rlft.robots.ur.robot import RealUr

__all__ = ["RealUr"]
