"""Fixtures that several of these modules use."""

from tests.robots.ur.fakes import make_ur, ur_links

__all__ = ["make_ur", "ur_links"]
