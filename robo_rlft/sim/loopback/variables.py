"""The names, types and values of what RTDE carries, after Universal Robots' "Real-Time Data Exchange" guide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from robo_rlft.sim.loopback.controller import REGISTERS, Controller

# Each type's code of the struct module, and how many numbers it holds.
TYPES = {
    "BOOL": ("?", 1),
    "UINT8": ("B", 1),
    "UINT32": ("I", 1),
    "UINT64": ("Q", 1),
    "INT32": ("i", 1),
    "DOUBLE": ("d", 1),
    "VECTOR3D": ("3d", 3),
    "VECTOR6D": ("6d", 6),
    "VECTOR6INT32": ("6i", 6),
    "VECTOR6UINT32": ("6I", 6),
}
Getter = Callable[[Controller], Sequence[Any]]

_ZEROS = (0.0,) * 6


def _constant(*values: float) -> Getter:
    return lambda controller: values


OUTPUTS: dict[str, tuple[str, Getter]] = {
    "timestamp": ("DOUBLE", lambda c: (c.clock(),)),
    "target_q": ("VECTOR6D", lambda c: c.state.target_q),
    "target_qd": ("VECTOR6D", lambda c: c.state.target_qd),
    "target_qdd": ("VECTOR6D", _constant(*_ZEROS)),
    "target_current": ("VECTOR6D", _constant(*_ZEROS)),
    "target_moment": ("VECTOR6D", _constant(*_ZEROS)),
    "actual_q": ("VECTOR6D", lambda c: c.state.actual_q),
    "actual_qd": ("VECTOR6D", lambda c: c.state.actual_qd),
    "actual_current": ("VECTOR6D", _constant(*_ZEROS)),
    "joint_control_output": ("VECTOR6D", _constant(*_ZEROS)),
    "actual_TCP_pose": ("VECTOR6D", lambda c: c.state.actual_pose),
    "actual_TCP_speed": ("VECTOR6D", lambda c: c.state.actual_speed),
    "actual_TCP_force": ("VECTOR6D", lambda c: c.state.force),
    "target_TCP_pose": ("VECTOR6D", lambda c: c.state.target_pose),
    "target_TCP_speed": ("VECTOR6D", lambda c: c.state.target_speed),
    "ft_raw_wrench": ("VECTOR6D", lambda c: c.state.force),
    "tcp_force_scalar": ("DOUBLE", lambda c: (math.hypot(*c.state.force[:3]),)),
    "actual_digital_input_bits": ("UINT64", lambda c: (c.inputs(),)),
    "actual_digital_output_bits": ("UINT64", lambda c: (c.outputs,)),
    "joint_temperatures": ("VECTOR6D", _constant(*(30.0,) * 6)),
    "actual_execution_time": ("DOUBLE", _constant(0.0005)),
    "robot_mode": ("INT32", lambda c: (c.robot_mode,)),
    "joint_mode": ("VECTOR6INT32", lambda c: (253 if c.robot_mode == 7 else 239,) * 6),
    "safety_mode": ("INT32", lambda c: (int(c.safety),)),
    "safety_status": ("INT32", lambda c: (int(c.safety),)),
    "actual_tool_accelerometer": ("VECTOR3D", _constant(0.0, 0.0, 9.82)),
    "speed_scaling": ("DOUBLE", lambda c: (c.arm.speed_scale,)),
    "target_speed_fraction": ("DOUBLE", lambda c: (c.arm.speed_scale,)),
    "actual_momentum": ("DOUBLE", _constant(0.0)),
    "actual_main_voltage": ("DOUBLE", _constant(48.0)),
    "actual_robot_voltage": ("DOUBLE", _constant(48.0)),
    "actual_robot_current": ("DOUBLE", _constant(0.5)),
    "actual_joint_voltage": ("VECTOR6D", _constant(*(48.0,) * 6)),
    "runtime_state": ("UINT32", lambda c: (int(c.runtime),)),
    "robot_status_bits": ("UINT32", lambda c: (c.status_bits(),)),
    "safety_status_bits": ("UINT32", lambda c: (c.safety_bits(),)),
    "standard_analog_input0": ("DOUBLE", _constant(0.0)),
    "standard_analog_input1": ("DOUBLE", _constant(0.0)),
    "standard_analog_output0": ("DOUBLE", _constant(0.0)),
    "standard_analog_output1": ("DOUBLE", _constant(0.0)),
    "payload": ("DOUBLE", lambda c: (c.payload,)),
    "payload_cog": ("VECTOR3D", lambda c: c.payload_center),
    "payload_inertia": ("VECTOR6D", _constant(*_ZEROS)),
    "script_control_line": ("UINT32", _constant(0)),
    "output_bit_registers0_to_31": ("UINT32", _constant(0)),
    "output_bit_registers32_to_63": ("UINT32", _constant(0)),
    **{
        f"output_int_register_{n}": ("INT32", lambda c, n=n: (c.integers_out[n],))  # type: ignore[misc]  # binds n
        for n in range(REGISTERS)
    },
    **{
        f"output_double_register_{n}": ("DOUBLE", lambda c, n=n: (c.floats_out[n],))  # type: ignore[misc]  # binds n
        for n in range(REGISTERS)
    },
}

INPUTS: dict[str, str] = {
    "speed_slider_mask": "UINT32",
    "speed_slider_fraction": "DOUBLE",
    "standard_digital_output_mask": "UINT8",
    "standard_digital_output": "UINT8",
    "configurable_digital_output_mask": "UINT8",
    "configurable_digital_output": "UINT8",
    "tool_digital_output_mask": "UINT8",
    "tool_digital_output": "UINT8",
    "standard_analog_output_mask": "UINT8",
    "standard_analog_output_type": "UINT8",
    "standard_analog_output_0": "DOUBLE",
    "standard_analog_output_1": "DOUBLE",
    "external_force_torque": "VECTOR6D",
    "input_bit_registers0_to_31": "UINT32",
    "input_bit_registers32_to_63": "UINT32",
    **{f"input_int_register_{n}": "INT32" for n in range(REGISTERS)},
    **{f"input_double_register_{n}": "DOUBLE" for n in range(REGISTERS)},
}
