"""A recording is a driver as the contract says: it passes every test that the robot passed while it was recorded."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from robo_rlft.robots.conformance import DriverConformance, Thing
from robo_rlft.robots.recording.recorder import Recorder
from robo_rlft.robots.recording.replay import ReplayDriver
from tests.robots.test_conformance_sim import BLOCK, gripper_with_a_block


class TestReplay(DriverConformance):
    @pytest.fixture
    def driver(self, request: pytest.FixtureRequest, tmp_path: Path, thing: Thing) -> ReplayDriver:
        """Run the very test that asks for it on the simulated gripper first, and return the recording of that."""
        recorder = Recorder(driver=gripper_with_a_block(), journal=tmp_path / "journal.jsonl")
        test = getattr(self, request.node.originalname)
        given = {"driver": recorder, "robot": recorder, "thing": thing}
        if hasattr(request.node, "callspec"):
            given |= request.node.callspec.params
        wanted = inspect.signature(test).parameters
        try:
            if "robot" in wanted:
                recorder.connect()
                recorder.home()
            test(**{name: given[name] for name in wanted})
        finally:
            recorder.close()
        return ReplayDriver(journal=tmp_path / "journal.jsonl")

    @pytest.fixture
    def thing(self) -> Thing:
        return BLOCK
