"""`robo-rlft train`: one Lightning run, from initial weights and data to `policy.safetensors`.

The algorithm's node says what is trained: a constructor that asks for a `policy` trains one, one that asks for
an `encoder` or a `reward` trains that. Everything else is the same Trainer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch import Trainer
from pydantic import PositiveInt
from rich.console import Console

from robo_rlft.algorithms.reward_model import RewardModel
from robo_rlft.commands.checkpoints import AtomicCheckpointIO, KeepLast, last_checkpoint
from robo_rlft.commands.checks import Phase, RunArguments, check
from robo_rlft.commands.environment import GROUPS, PROVIDED, environment_factory
from robo_rlft.commands.live import LiveArguments, acts_live, check_live, live_factory
from robo_rlft.commands.loggers import CsvLogger
from robo_rlft.commands.parting import NOTE, PartingWatch
from robo_rlft.commands.policies import POLICY_GROUPS, POLICY_PROVIDED, agree, build_policy
from robo_rlft.commands.process import prepare, sigterm_as_ctrl_c
from robo_rlft.commands.progress import TrainingProgress
from robo_rlft.commands.provenance import commit
from robo_rlft.commands.rewards import build_reward, pays_at_the_end
from robo_rlft.commands.runs import Run, folder_for, open_run
from robo_rlft.commands.train_data import check_folders, data_folders, provenance_of
from robo_rlft.commands.words import teach
from robo_rlft.config import Composed, ConfigError, build, check_node
from robo_rlft.config.nodes import TARGET, parameters_of
from robo_rlft.data.context import TrainContext
from robo_rlft.evaluation.files import write_json
from robo_rlft.geometry import Workspace
from robo_rlft.models.spec import class_path
from robo_rlft.policies.io import load_policy, save_policy
from robo_rlft.records import OutcomeReward

DATA = "data"  # the part of the algorithm's node that is not its constructor's
FORMAT, FORMAT_VERSION = "robo_rlft.training", 1


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments, LiveArguments):
    """What `train` takes beside its groups."""

    init: Path | None
    data: Path | None
    words: Path | None
    split: str
    phase: Phase
    allow_leak: bool
    rotations: PositiveInt


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of."""

    module: LightningModule
    data: LightningDataModule
    trainer: Trainer


def run(composed: Composed, console: Console) -> Path:
    """Train; return the run's folder."""
    check_config(composed)
    values = composed.values
    prepare(values)
    name = f"train-{composed.choices['task']}-{composed.choices['algorithm']}-seed{values['seed']}"
    folder = folder_for(values, name)
    with open_run(
        folder, command="train", config=values, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{folder} is finished already; overwrite=true trains it anew", markup=False)
            return folder
        if values["allow_leak"] and (values["split"], values["phase"]) != ("seen", "train"):
            opened.notes["leak"] = f"trained on {values['split']}/{values['phase']}"
        if values["words"] is not None:
            return teach(composed, opened, console)
        # Here and not earlier: importing lightning sets its own levels. Our lines say what users need.
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        parts = _parts(composed, opened, console)
        leak = getattr(parts.data, "leak", None)
        if leak is not None:
            opened.notes["leak"] = f"trained on {leak}"
        opened.notes |= provenance_of(parts.data)
        try:
            with sigterm_as_ctrl_c() if acts_live(composed) else nullcontext():
                parts.trainer.fit(
                    parts.module,
                    datamodule=parts.data,
                    ckpt_path=last_checkpoint(opened.checkpoints),
                    weights_only=True,
                )
        except SystemExit as stopped:  # how Lightning leaves at Ctrl-C, and at SIGTERM with exit code 0
            raise KeyboardInterrupt from stopped
        finally:
            parts.data.teardown("fit")  # Lightning does it only where nothing failed, and a robot must be let go of
        if parts.trainer.interrupted:
            raise KeyboardInterrupt
        result = _save(composed, opened, parts)
        if "leak" in opened.notes:
            console.print(f"note: {opened.notes['leak']}; the policy file says so too", markup=False)
    console.print(f"trained: {result}", markup=False)
    return folder


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    values = composed.values
    algorithm, data = split_algorithm(values["algorithm"])
    provided = {"policy", "critic", "context", "allow_leak", *PROVIDED, *POLICY_PROVIDED}
    examples = composed.defaults.get("algorithm", {})
    problems = check_node("algorithm", algorithm, provided=provided, trust=composed.trust, examples=examples)
    if data is not None:
        problems += check_node(
            "algorithm.data", data, provided=provided, trust=composed.trust, examples=examples.get(DATA)
        )
    for key, node in (values["logger"] or {}).items():
        problems += check_node(f"logger.{key}", node, provided={"save_dir"}, trust=composed.trust)
    groups = (*GROUPS, *(POLICY_GROUPS if trains_policy(values["algorithm"], composed.trust) else ()), "trainer")
    check(composed, Arguments, groups, provided=provided, problems=problems)
    check_processor(values)
    check_live(composed, judged=True)
    check_folders(values, split_algorithm(values["algorithm"])[1], composed.trust)
    if values["words"] is not None and trains_policy(values["algorithm"], composed.trust):
        raise ConfigError("words: new words are taught to an encoder; expected algorithm=clip beside it")
    if (
        values["init"] is not None
        and values["words"] is None
        and not trains_policy(values["algorithm"], composed.trust)
    ):
        raise ConfigError(
            "init: an encoder or a reward is trained from its own start; leave init= out, or teach an encoder "
            "words=FILE"
        )
    if (values["split"], values["phase"]) != ("seen", "train") and not values["allow_leak"]:
        raise ConfigError(
            f"training may see split=seen phase=train only, got split={values['split']} phase={values['phase']}; "
            "allow_leak=true permits it and marks the run"
        )


def check_processor(values: Mapping[str, Any]) -> None:
    """Refuse a graphics card that is not there, several, and one for what is computed without a trainer."""
    trainer = values["trainer"]
    if trainer.get("devices", 1) not in (1, "1"):
        raise ConfigError(f"trainer.devices: one is what training here is made for; got {trainer['devices']}")
    if trainer.get("accelerator") in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ConfigError(
            "trainer.accelerator: there is no graphics card here that PyTorch can use (robo-rlft doctor says what it "
            "has); expected trainer.accelerator=cpu"
        )
    learns_reward = str(values["algorithm"].get(TARGET)) == class_path(RewardModel)
    if trainer.get("accelerator") != "cpu" and learns_reward:
        raise ConfigError("trainer.accelerator: a reward is learned on the processor, in minutes; leave it out")
    if trainer.get("accelerator") != "cpu" and values["words"] is not None:
        raise ConfigError("trainer.accelerator: words=FILE is fitted in seconds on the processor; leave it out")


def split_algorithm(node: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the module's own node and its data module's."""
    return {key: value for key, value in node.items() if key != DATA}, node.get(DATA)


def trains_policy(node: Mapping[str, Any], trust: tuple[str, ...] = ()) -> bool:
    """Tell whether the algorithm trains a policy, and not an encoder."""
    try:
        return "policy" in parameters_of(str(node.get(TARGET)), trust=trust)
    except ConfigError:
        return True  # the node's own check tells what is wrong with it


def _parts(composed: Composed, opened: Run, console: Console) -> Parts:
    """Build everything."""
    values, trust = composed.values, composed.trust
    algorithm, data = split_algorithm(values["algorithm"])
    policy = None
    workspace, rotations = build(values["workspace"], trust=trust, path="workspace"), int(values["rotations"])
    if trains_policy(algorithm, trust):
        if values["init"] is None:
            policy = build_policy(composed)
        else:
            policy = load_policy(Path(values["init"]), trust=trust)
            agree(composed, policy)
            workspace, rotations = policy.workspace, policy.rotations
    make_env: Any
    if acts_live(composed):
        make_env = live_factory(composed, folder=opened.path, workspace=workspace, rotations=rotations, console=console)
    else:
        make_env = environment_factory(values, trust=trust, workspace=workspace, rotations=rotations)
    folders = data_folders(values["data"])
    context = TrainContext(
        policy=policy,  # type: ignore[arg-type]  # an encoder's data module does not look at it
        workspace=workspace,
        make_env=make_env,
        data_dir=folders[0] if folders else None,
        more_data=tuple(folders[1:]),
        run_dir=opened.path,
        seed=int(values["seed"]),
        workers=int(values["workers"]),
        reward=_outcome_reward(composed, policy, workspace, rotations),
    )
    provided = {"context": context, "policy": policy, "allow_leak": values["allow_leak"]}
    provided |= {"workspace": workspace, "seed": context.seed}
    module = build(algorithm, trust=trust, path="algorithm", **provided)
    provided["critic"] = getattr(module, "critic", None)
    datamodule = build(data or {}, trust=trust, path="algorithm.data", **provided)
    # Before there is a trainer, whose loggers write files: data that cannot be read ends it here.
    datamodule.setup("fit")
    try:
        return Parts(module=module, data=datamodule, trainer=_trainer(composed, opened, console))
    except BaseException:
        datamodule.teardown("fit")
        raise


def _outcome_reward(composed: Composed, policy: Any, workspace: Workspace, rotations: int) -> OutcomeReward | None:
    """Return the reward that pays at the end of an episode; None where the environments alone pay."""
    reward = build_reward(composed, workspace=workspace, rotations=rotations, policy=policy)
    return reward if pays_at_the_end(reward) else None


def _trainer(composed: Composed, opened: Run, console: Console) -> Trainer:
    values = composed.values
    loggers = [
        build(node, trust=composed.trust, path=f"logger.{key}", save_dir=opened.path)
        for key, node in (values["logger"] or {}).items()
    ]
    checkpoint = last_checkpoint(opened.checkpoints)
    if checkpoint is not None:
        step = int(torch.load(checkpoint, weights_only=True, map_location="cpu")["global_step"])
        for logger in loggers:
            if isinstance(logger, CsvLogger):
                logger.take_up(step)
    title = f"train {composed.choices['algorithm']}"
    return build(  # type: ignore[no-any-return]  # the config's check saw to it
        values["trainer"],
        trust=composed.trust,
        path="trainer",
        logger=loggers,
        callbacks=[
            KeepLast(folder=opened.checkpoints),
            TrainingProgress(console, title),
            PartingWatch(console, opened.notes),
        ],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=opened.path,
        enable_checkpointing=False,
        reload_dataloaders_every_n_epochs=1,
    )


def _save(composed: Composed, opened: Run, parts: Parts) -> Path:
    """Write what was trained, and its last figures."""
    metadata = {
        "algorithm": composed.choices["algorithm"],
        "task": composed.choices["task"],
        "seed": composed.values["seed"],
        "overrides": list(composed.overrides),
        "leak": opened.notes.get("leak"),
        "commit": commit(),
        "renderer": "pybullet TinyRenderer",
        **provenance_of(parts.data),
    }
    metrics = {key: float(value) for key, value in parts.trainer.callback_metrics.items()}
    trained: Any = parts.module  # it has a policy or an encoder
    if trains_policy(composed.values["algorithm"], composed.trust):
        path = opened.path / "policy.safetensors"
        save_policy(trained.policy, path, metadata=metadata)
    elif isinstance(trained, RewardModel):
        path = trained.save(opened.path, metadata={**metadata, "figures": metrics})
    else:
        path = opened.path / "encoder.safetensors"
        trained.encoder.save(path, metadata={**metadata, "figures": metrics})
    write_json(
        opened.path / "results.json",
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "algorithm": composed.choices["algorithm"],
            "steps": parts.trainer.global_step,
            "epochs": parts.trainer.current_epoch,
            "metrics": {key: value for key, value in sorted(metrics.items()) if value == value},
            **({"measured": trained.figures} if isinstance(trained, RewardModel) and trained.figures else {}),
            **({NOTE: opened.notes[NOTE]} if NOTE in opened.notes else {}),
            "result": path.name,
        },
    )
    return path
