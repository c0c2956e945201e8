"""A UR arm on a network cable: `robot=real_ur`, over ur_rtde (extra `ur`).

What moves steel is only asked for through `RealUr`, which is a safety envelope; the driver inside it is `driver`.
It was tested against an emulated controller, not on an arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rlft.robots.cameras import Camera
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.limits import HARD_CAP, Limits, narrowed, strictest
from robo_rlft.robots.safety.operator import Confirm, Operator
from robo_rlft.robots.safety.profile import Profile, read_profile
from robo_rlft.robots.ur.driver import _UrDriver
from robo_rlft.robots.ur.frames import BaseFrame
from robo_rlft.robots.ur.motion import MotionSettings
from robo_rlft.robots.ur.tool import UrTool


class RealUr(SafetyEnvelope):
    """A UR arm (e-Series or CB3 with PolyScope 5.6 or newer), inside the safety envelope it cannot leave."""

    def __init__(
        self,
        *,
        host: str,
        profile: Path | Profile | None,
        limits: Mapping[str, Any] | Limits | None = None,
        dry_run: bool = True,
        confirm: Confirm = "each",
        operator: Operator | None = None,
        journal: Path | None = None,
        cameras: Sequence[Camera] = (),
        stale: float = 0.2,
        watchdog_hz: float = 10.0,
        acceleration: float = 0.5,
        deceleration: float = 5.0,
        contact_force: float = 8.0,
        home: Sequence[float] = (0.3, 0.0, 0.4, 0.0),
        home_speed: float | None = None,
        rest_seconds: float = 0.3,
        tool: Mapping[str, Any] | UrTool | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: the arm's address.
            profile: see `SafetyEnvelope`, as for limits, dry_run, confirm, operator, journal and stale.
            limits: see there.
            dry_run: see there.
            confirm: see there.
            operator: see there.
            journal: see there.
            cameras: that `observe` looks through.
            stale: see there.
            watchdog_hz: kicks a second that the controller insists on; without them it ends the motion.
            acceleration: m/s^2, of home; never above the limit.
            deceleration: m/s^2, of stops.
            contact_force: newtons along the motion, more than before it, that count as contact.
            home: x, y, z in metres and yaw in radians, world frame, out of the cameras' sight.
            home_speed: m/s, within the limits; None is 0.25, or the limit where that is lower.
            rest_seconds: how long `wait` waits.
            tool: a `UrTool`, or its fields.

        Raises:
            ProfileError: the profile cannot be used.
            ValueError: an argument that cannot be, or limits that leave no room.
        """
        read = read_profile(profile) if isinstance(profile, str | Path) else profile
        x, y, z, yaw = read.world_from_base if read is not None else (0.0, 0.0, 0.0, 0.0)
        hx, hy, hz, hyaw = (float(value) for value in home)
        within = strictest(HARD_CAP, narrowed(limits), *(() if read is None else (read.limits,)))
        if home_speed is not None and not 0 < home_speed <= within.speed:
            raise ValueError(f"home_speed: expected m/s above 0 and at most {within.speed:g}, got {home_speed}")
        # What ends motions is no matter of taste: outside of these it would hardly do so.
        for name, value, least, most in (
            ("watchdog_hz", watchdog_hz, 5.0, 100.0),
            ("deceleration", deceleration, 1.0, 20.0),
            ("contact_force", contact_force, 0.5, HARD_CAP.force),
            ("acceleration", acceleration, 0.01, 20.0),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name}: expected from {least:g} to {most:g}, got {value}")
        super().__init__(
            driver=_UrDriver(
                host=host,
                frame=BaseFrame(x=x, y=y, z=z, yaw=yaw),
                tool=tool if isinstance(tool, UrTool) else UrTool(**dict(tool or {})),
                settings=MotionSettings(
                    contact_force=contact_force, force_limit=within.force, deceleration=deceleration, stale=stale
                ),
                acceleration=min(acceleration, within.acceleration),
                watchdog_hz=watchdog_hz,
                home=(hx, hy, hz, hyaw),
                home_speed=home_speed or min(0.25, within.speed),
                rest_seconds=rest_seconds,
                cameras=cameras,
            ),
            profile=read,
            limits=limits,
            dry_run=dry_run,
            confirm=confirm,
            operator=operator,
            journal=journal,
            stale=stale,
        )
