"""Cameras: what they give, and the guard that every real picture goes through."""

from robo_rlft.robots.cameras.camera import Camera, Frame, FrameSource
from robo_rlft.robots.cameras.checked import CheckedCamera, PictureGuard

__all__ = ["Camera", "CheckedCamera", "Frame", "FrameSource", "PictureGuard"]
