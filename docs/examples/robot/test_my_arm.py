"""Is MyArm a driver? `pytest docs/examples/robot` says so."""

import pytest
from my_arm import BLOCK, SIDE, MyArm

from robo_rlft.robots.conformance import DriverConformance, Thing


class TestMyArm(DriverConformance):
    @pytest.fixture
    def driver(self):
        return MyArm()

    @pytest.fixture
    def thing(self):
        return Thing(x=BLOCK[0], y=BLOCK[1], top=SIDE)
