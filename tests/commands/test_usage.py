import multiprocessing
import time

from robo_rlft.commands.usage import Meter


def burn(seconds: float) -> None:
    """Use the processor for so many CPU-seconds."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_processes_behind_a_fork_server_count_while_they_run_and_after_they_end() -> None:
    meter = Meter()
    worker = multiprocessing.get_context("forkserver").Process(target=burn, args=(1.5,))
    worker.start()
    worker.join()
    used = meter.stop()
    assert used.cpu_seconds > 1.0  # 1.5, less what the last look came too early for


def test_only_what_was_used_since_the_start_counts() -> None:
    burn(0.3)
    meter = Meter()
    burn(0.5)
    used = meter.stop()
    assert 0.45 < used.cpu_seconds < 0.75
    assert used.peak_rss_mb > 10
