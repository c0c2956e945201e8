"""Settings of the whole process that results depend on."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def prepare(values: Mapping[str, Any]) -> None:
    """Set the number of torch's threads and every global random state from a checked config.

    Nothing of ours draws from the global states where it can help it; other packages' initialisers do.
    """
    torch.set_num_threads(int(values["threads"]))
    seed = int(values["seed"])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    # Workers of EnvPool step physics: one thread each is all they can use.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the context lasts: whoever moves a robot stops it before the program ends."""
    # A shell's background job ignores Ctrl-C; it must end when it is told to all the same.
    ctrl_c = signal.getsignal(signal.SIGINT)
    handler = signal.default_int_handler if ctrl_c in (signal.SIG_IGN, None) else ctrl_c
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
