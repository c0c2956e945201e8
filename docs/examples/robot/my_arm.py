"""An example of a driver of your own: an arm that exists in memory only, and a camera that draws its own picture."""

import math
import time

import numpy as np

from robo_rlft import driver

BLOCK, SIDE, HOME = (0.4, -0.2), 0.04, driver.Pose(position=(0.3, 0.0, 0.5))  # a red block, how high it is; metres
LENS = np.array([[160.0, 0, 80], [0, 160, 160], [0, 0, 1]])  # pixels
EYE = np.array([[1.0, 0, 0, 0.5], [0, -1, 0, 0], [0, 0, -1, 1], [0, 0, 0, 1]])  # 1 m above the table, looks down
RED, BLUE = (slice(190, 197), slice(60, 67)), (slice(118, 138), slice(86, 106))  # pixels: the block, a blue plate


class MyArm:
    def __init__(self, *, serial_number: str = "MY-0001") -> None:
        self._serial, self._pose = serial_number, HOME
        self._open = self._late = self._touches = self._holds = False

    def connect(self):
        self._open = True

    def close(self):
        self._open = False

    def serial(self):
        return self._serial

    def status(self):
        return driver.Status(mode=driver.Mode.OK if self._open else driver.Mode.DISCONNECTED)

    def observe(self):
        self._check(moving=False)
        color, depth = np.full((320, 160, 3), (214, 211, 204), np.uint8), np.ones((320, 160), np.float32)
        color[RED], color[BLUE], depth[RED], depth[BLUE] = (210, 40, 40), (50, 90, 205), 1 - SIDE, 0.99
        return (driver.View(color=color, depth=depth, intrinsics=LENS, world_from_camera=EYE, stamp=time.monotonic()),)

    def tool_pose(self):
        self._check(moving=False)
        return self._pose

    def move(self, target, *, speed, acceleration=None, stop_on_contact=False, deadline=None):
        self._check()
        driver.check_motion(target, speed=speed, acceleration=acceleration, deadline=deadline)
        self._late = math.dist(self._pose.position, target.position) / speed > (deadline or 60.0)
        if self._late:
            raise driver.DeadlineExceeded(f"{target} was not reached within {deadline or 60.0} s")
        x, y, z = target.position
        self._touches = stop_on_contact and z <= SIDE and math.dist((x, y), BLOCK) < SIDE / 2
        self._pose = driver.Pose(position=(x, y, SIDE if self._touches else z), quaternion=target.quaternion)
        return driver.Motion(reached=self._pose, contact=self._touches)

    def home_way(self, start):
        return (HOME,)

    def home(self):
        self.move(HOME, speed=0.5)

    def grip(self):
        self._check()
        self._holds = self._touches

    def release(self):
        self._check()
        self._holds = False

    def is_holding(self):
        self._check(moving=False)
        return self._holds

    force = wait = stop = lambda self: None  # it feels nothing, and has nothing to wait for or to stop

    def recover(self, *, operator):
        self._late = False

    def _check(self, *, moving=True):
        if not self._open:
            raise driver.ConnectionLost("the arm is not connected; call connect() first")
        if moving and self._late:
            raise driver.OperatorNeeded("a motion was late; look at the arm, then call recover(operator=...)")
