"""Robots from configs: which ones may be built where, and what is put around them.

A driver that is not this package's own is born inside a `SafetyEnvelope`, whose arguments come from the same config
node. Only the command line's `trust=[...]` allows such a driver; nothing that a file says does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rlft.config import Composed, ConfigError, build, check_node, target_class
from robo_rlft.config.nodes import TARGET, parameters_of
from robo_rlft.driver import RobotDriver
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.operator import Operator

REAL = "real_"  # how the names of options begin that move steel
SIMULATED = "robo_rlft.sim."
REPLAY = "robo_rlft.robots.recording.replay.ReplayDriver"
CLICK = "robo_rlft.apps.click.ClickDemonstrator"
ENVELOPE = f"{SafetyEnvelope.__module__}.{SafetyEnvelope.__qualname__}"
ENVELOPE_KEYS = ("profile", "limits", "dry_run", "confirm", "stale")  # of a foreign driver's node, for its envelope
JOURNAL = "journal.jsonl"
# What a robot's constructor is given by the command, and what no file may give it.
ROBOT_PROVIDED = frozenset({"workspace", "rotations", "operator", "journal", "cameras"})
RESERVED = ("operator", "journal", "driver")
SCENE_COMMANDS = ("collect", "train", "evaluate")
LOOKING = ("collect", "deploy", "evaluate", "train")  # commands that act on what the cameras see


def is_real(values: Mapping[str, Any], *, trust: Sequence[str] = ()) -> bool:
    """Tell whether the robot of a config could move a machine; one that cannot be told is one that could.

    Args:
        values: a command's config.
        trust: classes outside this package that the user allowed.
    """
    node = values.get("robot")
    if not isinstance(node, Mapping) or TARGET not in node:
        return False
    target = str(node[TARGET])
    return not (_harmless(target) or _is_scene(target, trust))


def refuse_real(composed: Composed, *, where: str) -> None:
    """Refuse a robot that could move a machine, by its option's name or by its class.

    Raises:
        ConfigError: saying in one sentence where such a robot is refused.
    """
    choice = composed.choices.get("robot") or ""
    if choice.startswith(REAL) or is_real(composed.values, trust=composed.trust):
        named = choice if choice.startswith(REAL) else composed.values["robot"][TARGET]
        raise ConfigError(_sentence(named, where))


def refuse_real_names(overrides: Sequence[str], *, where: str) -> None:
    """Refuse `robot=real_...` before anything is composed, whether there is such an option or not."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key == "robot" and value.strip("'\"").startswith(REAL):
            raise ConfigError(_sentence(value.strip("'\""), where))


def robot_problems(composed: Composed, *, provided: Collection[str] = ()) -> list[str]:
    """Return what is wrong with the robot and the camera of a config, in words; nothing when they can be built."""
    node, trust = composed.values.get("robot"), composed.trust
    if isinstance(node, Mapping) and TARGET in node and composed.command in SCENE_COMMANDS:
        problem = _scene_problem(composed, str(node[TARGET]))
        if problem is not None:
            return [problem]
    own, envelope = _split(node, trust)
    examples = composed.defaults.get("robot")
    guarded = isinstance(node, Mapping) and not _harmless(str(node.get(TARGET)))
    problems = [
        f"robot.{key}: is given by the command itself, never by a config; leave it out"
        for key in RESERVED
        if guarded and key in dict(node or {})
    ]
    given = {*ROBOT_PROVIDED, *provided} - (set() if guarded else {"journal"})  # a recording's is its own
    if isinstance(own, Mapping) and own.get("host", "") is None:
        return ["robot.host: expected the arm's address, as its pendant shows it; e.g. robot.host=192.168.1.10"]
    problems += check_node("robot", own, provided=given, trust=trust, examples=examples)
    if envelope is not None:
        problems += check_node("robot", envelope, provided=RESERVED, trust=trust, examples=examples)
    cameras = list(_camera_nodes(composed))
    for path, camera in cameras:
        problems += check_node(path, camera, provided={"workspace"}, trust=trust)
    return problems or _missing(composed, own, cameras=len(cameras))


def _missing(composed: Composed, own: Mapping[str, Any], *, cameras: int) -> list[str]:
    """Return what a robot cannot act without, though it could be built."""
    if composed.command not in LOOKING or "cameras" not in parameters_of(str(own[TARGET]), trust=composed.trust):
        return []
    return [] if cameras else [f"camera: {composed.choices['robot']} brings none; choose camera=realsense or =opencv"]


def build_robot(composed: Composed, *, operator: Operator | None, folder: Path | None) -> RobotDriver:
    """Build the robot of a config, not connected yet.

    A simulated robot and a recording are built as they are. This package's drivers of real arms are envelopes
    themselves, and are given the operator and the journal. Any other driver is wrapped in an envelope.

    Args:
        composed: a command's config, with the groups `robot` and, where the command has it, `camera`.
        operator: who is asked before something moves; None refuses all motion.
        folder: where the journal goes; None writes none.

    Raises:
        ConfigError: what is wrong with the nodes, one problem a line.
        DriverError: the profile cannot be used.
    """
    problems = robot_problems(composed)
    if problems:
        raise ConfigError("\n  ".join(problems))
    node, trust = composed.values["robot"], composed.trust
    context = _context(composed)
    guard = {"operator": operator, "journal": None if folder is None else folder / JOURNAL}
    own, envelope = _split(node, trust)
    if _is_envelope(str(node[TARGET]), trust):
        context |= guard
    driver: RobotDriver = build(own, trust=trust, path="robot", **context)
    if envelope is not None:
        driver = build(envelope, trust=trust, path="robot", driver=driver, **guard)
    return driver


def _context(composed: Composed) -> dict[str, Any]:
    """Return what the robot's constructor may ask for."""
    values, trust = composed.values, composed.trust
    context: dict[str, Any] = {}
    if values.get("workspace") is not None:
        context["workspace"] = build(values["workspace"], trust=trust, path="workspace")
    nodes = _camera_nodes(composed)
    if nodes:
        if "cameras" not in parameters_of(str(values["robot"][TARGET]), trust=trust):
            raise ConfigError(f"camera: {values['robot'][TARGET]} brings its own cameras; leave camera= out")
        context["cameras"] = tuple(build(node, trust=trust, path=path, **context) for path, node in nodes)
    return context


def _camera_nodes(composed: Composed) -> list[tuple[str, Any]]:
    """Return the nodes of the group `camera`, each with its path: none, one, or several by name."""
    group = composed.values.get("camera")
    if not isinstance(group, Mapping):
        return []
    return [("camera", group)] if TARGET in group else [(f"camera.{name}", node) for name, node in group.items()]


def restores_scenes(composed: Composed) -> bool:
    """Tell whether the robot of a config can be put back into an earlier scene, as simulated ones can."""
    node = composed.values.get("robot")
    return isinstance(node, Mapping) and _is_scene(str(node.get(TARGET)), composed.trust)


def may_act_live(composed: Composed) -> bool:
    """Tell whether what the command does needs no scene twice: a policy's own attempts, one after the other."""
    values = composed.values
    if composed.command == "collect":
        return values.get("checkpoint") is not None
    if composed.command == "evaluate":
        return values.get("checkpoint") != "oracle"
    data = values["algorithm"].get("data") if isinstance(values.get("algorithm"), Mapping) else None
    found = _class(str(data.get(TARGET)), composed.trust) if isinstance(data, Mapping) else None
    return bool(getattr(found, "acts_live", False))


def live_refusal(composed: Composed) -> str:
    """Return why the command cannot do without scenes that come back, and what to do."""
    choice = "driver_only=true" if restores_scenes(composed) else f"robot={composed.choices.get('robot')}"
    if composed.command == "train":
        return (
            f"algorithm: {composed.choices.get('algorithm')} acts in scenes that come back, or not at all, and with "
            f"{choice} none does; expected algorithm=weighted_bc, which clones the better of the policy's own attempts "
            "and learns from each as often as it likes, or algorithm=ppo, which needs more of them"
        )
    return (
        f"checkpoint: with {choice} a policy acts, since a demonstrator needs scenes that are laid anew; expected "
        "checkpoint=FILE"
    )


def _scene_problem(composed: Composed, target: str) -> str | None:
    """Return why a command that builds its scenes anew cannot have this robot."""
    if _is_scene(target, composed.trust) or (composed.command == "collect" and _by_hand(composed)):
        return None
    if may_act_live(composed):
        return None
    try:
        target_class(target, trust=composed.trust)
    except ConfigError as error:
        return f"robot: {error}"
    if composed.command == "train":
        return live_refusal(composed)
    choice = composed.choices.get("robot") or target
    return (
        f"robot: a demonstrator needs scenes that are laid anew, which {choice} ({target}) cannot; run a policy on it "
        f"with deploy, or with {composed.command} checkpoint=FILE, and record demonstrations on it with collect "
        "demonstrator=click"
    )


def _by_hand(composed: Composed) -> bool:
    """Tell whether a person demonstrates, on whatever lies on the table."""
    node = composed.values.get("demonstrator")
    return isinstance(node, Mapping) and node.get(TARGET) == CLICK


def _split(node: Any, trust: Sequence[str]) -> tuple[Any, dict[str, Any] | None]:
    """Return a robot's own node, and its envelope's where it is to be wrapped."""
    if not isinstance(node, Mapping) or TARGET not in node:
        return node, None
    target = str(node[TARGET])
    if _harmless(target) or _is_envelope(target, trust):
        return node, None
    own = {key: value for key, value in node.items() if key not in ENVELOPE_KEYS}
    return own, {TARGET: ENVELOPE, **{key: node[key] for key in ENVELOPE_KEYS if key in node}}


def _harmless(target: str) -> bool:
    return target.startswith(SIMULATED) or target == REPLAY


def _is_scene(target: str, trust: Sequence[str]) -> bool:
    """Tell whether a class builds worlds, which no machine does; an envelope is one never, whatever it is around."""
    found = _class(target, trust)
    methods = ("build", "poses", "settle")
    return found is not None and not issubclass(found, SafetyEnvelope) and all(hasattr(found, m) for m in methods)


def _is_envelope(target: str, trust: Sequence[str]) -> bool:
    found = _class(target, trust)
    return found is not None and issubclass(found, SafetyEnvelope)


def _class(target: str, trust: Sequence[str]) -> type[Any] | None:
    try:
        return target_class(target, trust=trust)
    except ConfigError:
        return None


def _sentence(named: str, where: str) -> str:
    return (
        f"robot={named} moves a machine and is refused in {where}; run one command at a time, with somebody beside it"
    )
