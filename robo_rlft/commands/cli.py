"""`robo-rlft COMMAND [overrides]`: reads the command line, composes the config, runs the command.

Knows the commands' names; what they do is in the modules beside it, imported when they are used.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from robo_rlft import __version__
from robo_rlft.commands.console import make_console
from robo_rlft.commands.errors import is_user_error
from robo_rlft.config.compose import Composed, compose, conf_dir, groups, root_groups, sweep, swept_keys
from robo_rlft.config.errors import UserError, did_you_mean

COMMANDS = {
    "collect": "write demonstrations: collect task=T episodes=N demonstrator=oracle",
    "train": "train a policy or an encoder: train algorithm=bc|rloo|ppo|clip task=T init=FILE data=DIR",
    "evaluate": "measure success on held-out scenes: evaluate checkpoint=FILE|oracle|zero_shot|random split=S",
    "label": "ask a person which of two attempts is better: label from=RUN",
    "distill": "make demonstrations of the attempts that a reward ranks highest: distill from=RUN reward.model=FILE",
    "run": "run a pipeline of the above: run experiment=quickstart",
    "deploy": 'act on sentences through a robot: deploy checkpoint=FILE robot=R instruction="..."',
    "report": "write the HTML report of runs: report from=RUN[,RUN]",
    "figure": "draw one figure of runs: figure name=F from=RUN[,RUN]",
    "calibrate": "find where the camera is: calibrate method=points points=FILE picture=PNG intrinsics=FILE",
    "loopback": "emulate a UR5e on this machine, to try robot=real_ur without one: loopback task=T scene=N",
    "doctor": "say what this machine has, and whether data=DIR can be read",
}
# What is wrong with the machine and not with the program: the user's to mend.
_MACHINE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}
USAGE = "robo-rlft COMMAND [-m] [--config-dir DIR] [key=value ...]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 something for the user to mend, 130 stopped by the user."""
    _quieten()
    # Before torch is imported: waiting threads sleep instead of spinning, which else burns half of a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    errors = make_console(stderr=True)
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt as stopped:
        errors.print(str(stopped) or "stopped; the same command goes on where it was", markup=False)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _MACHINE:
            errors.print(f"robo-rlft: {error.strerror}: {error.filename or 'while writing'}", markup=False)
        elif is_user_error(error):
            errors.print(f"robo-rlft: {error}", markup=False)
        else:
            raise
        return 2


def run_command(composed: Composed, console: Console) -> Path | None:
    """Run a composed command; return the folder or file it wrote, if any."""
    module = importlib.import_module(f"robo_rlft.commands.{composed.command}")
    result: Path | None = module.run(composed, console)
    return result


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_intermixed_args(argv)
    console = make_console()
    if arguments.version:
        console.print(f"robo_rlft {__version__}")
        return 0
    if arguments.command is None:
        console.print(_overview(), markup=False)
        return 0 if arguments.help else 2
    if arguments.command not in COMMANDS:
        hint = did_you_mean(arguments.command, COMMANDS)
        raise UserError(f"expected one of {', '.join(COMMANDS)}, got '{arguments.command}'{hint}")
    folders = [Path(folder) for folder in arguments.config_dir]
    if arguments.help:
        console.print(command_help(arguments.command, folders), markup=False)
        return 0
    jobs = _jobs(arguments.command, arguments.overrides, folders) if arguments.multirun else [arguments.overrides]
    # All are checked before the first runs.
    composed = [_compose(arguments.command, job, folders) for job in jobs]
    if arguments.multirun:
        from robo_rlft.commands.robots import refuse_real

        for job in composed:
            refuse_real(job, where="sweeps")
    check = getattr(importlib.import_module(f"robo_rlft.commands.{arguments.command}"), "check_config", None)
    if check is not None and len(composed) > 1:
        for job in composed:
            check(job)
    for number, job in enumerate(composed, start=1):
        if len(composed) > 1:
            console.print(f"[{number}/{len(composed)}] {' '.join(job.overrides)}", markup=False)
        run_command(job, console)
    return 0


def _compose(command: str, overrides: Sequence[str], folders: Sequence[Path]) -> Composed:
    if command == "run":
        from robo_rlft.commands.run import compose_run

        return compose_run(overrides, folders)
    return compose(command, overrides, config_dirs=folders)


def _jobs(command: str, overrides: Sequence[str], folders: Sequence[Path]) -> list[list[str]]:
    """Return the overrides of every job of a sweep, each with a folder of its own."""
    keys = swept_keys(overrides)
    jobs = sweep(overrides)
    from robo_rlft.commands.robots import refuse_real_names

    for job in jobs:
        refuse_real_names(job, where="sweeps")
    placed = []
    for number, job in enumerate(jobs):
        values = dict(o.lstrip("+").split("=", 1) for o in job)
        parts = [f"{key.split('.')[-1]}-{values[key]}" for key in keys]
        label = "".join(c if c.isalnum() or c in "-._" else "_" for c in "-".join(parts)) or str(number)
        if "output" in values:
            placed.append([o for o in job if not o.startswith("output=")] + [f"output={values['output']}/{label}"])
        else:
            name = values.get("run", f"{command}-sweep")
            placed.append([o for o in job if not o.startswith("run=")] + [f"run={name}/{label}"])
    return placed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="robo-rlft", usage=USAGE, add_help=False)
    parser.add_argument("command", nargs="?")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--config-dir", action="append", default=[], metavar="DIR")
    parser.add_argument("--version", action="store_true")
    return parser


def _overview() -> str:
    lines = [f"usage: {USAGE}", "", "commands:"]
    lines += [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    lines += [
        "",
        "options:",
        "  --help            after a command: its groups of options and its arguments",
        "  -m                run every combination of the values given: -m seed=0,1,2 algorithm.lr=3e-4,5e-4",
        "  --config-dir DIR  a folder of your own options, laid out as conf/ is; may be given several times",
        "  --version",
    ]
    return "\n".join(lines)


def command_help(command: str, config_dirs: Sequence[Path] = ()) -> str:
    """Return the groups and arguments of a command, as its root config explains them."""
    options, chosen = groups(config_dirs), root_groups(command)
    lines = [f"usage: robo-rlft {command} [key=value ...]", "", COMMANDS[command], ""]
    if chosen:
        lines.append("groups (choose one option of each: group=option):")
        for group, default in chosen.items():
            names = [f"[{name}]" if name == default else name for name in options.get(group, [])]
            lines.append(f"  {group:<15}{' '.join(names)}")
        lines += ["", "arguments (and group.key=value for every value of an option):"]
    for line in (conf_dir() / f"{command}.yaml").read_text(encoding="utf-8").splitlines():
        key, colon, rest = line.partition(":")
        if colon and key.isidentifier() and key != "defaults":
            value, _, comment = rest.partition("#")
            lines.append(f"  {key + '=' + value.strip():<31} {comment.strip()}")
    return "\n".join(lines)


def _quieten() -> None:
    """Leave the screen to what commands say themselves."""
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
