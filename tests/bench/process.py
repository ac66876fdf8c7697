"""A server process of the benchmark: pinned, awaited, accounted for, killed. Reads Linux's ``/proc``.

Its processes stay in the group of the measurement, so that killing the group leaves none behind.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Process", "ProcessError", "accepts", "answers", "own_core", "pinned", "server_cores"]

START_LIMIT_S = 60.0
POLL_S = 0.005
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ALL_CORES = sorted(os.sched_getaffinity(0))
"""What this process may use, before it pins itself."""

Ready = Callable[[int], Awaitable[bool]]
"""Tells whether whoever listens on a port is ready."""


class ProcessError(Exception):
    """A process that did not do what the benchmark needs of it, in a sentence."""


def own_core() -> set[int]:
    """Return the core of the load generator: the last one."""
    return set(ALL_CORES[-1:])


def server_cores(processes: int = 1) -> set[int]:
    """Return the cores for a server of so many processes: the first ones, the generator's only if need be."""
    return set((ALL_CORES[:-1] or ALL_CORES)[:processes])


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Keep this thread, and every process that it starts here, to ``cores``; undone for the thread itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def accepts(port: int) -> bool:
    """Tell whether somebody listens on ``port``."""
    return await _exchange(port, b"") is not None


def answers(path: str) -> Ready:
    """Return a check that HTTP on the port answers ``path`` with 200."""

    async def check(port: int) -> bool:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        return b" 200 " in (await _exchange(port, request.encode()) or b"")

    return check


async def _exchange(port: int, request: bytes) -> bytes | None:
    """Return the first line of the answer, empty without a request; None where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        writer.write(request)
        return await reader.readline() if request else b""
    except OSError:
        return None
    finally:
        writer.close()


class Process:
    """One command with its children; keeps its port over restarts. Not running until ``start``."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        ready: Ready = accepts,
        cores: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._ready = ready
        self._cores = cores or server_cores()
        self._environment = {**os.environ, **(environment or {})}
        # As an operator has it: with it, Python compiles every module anew at every start.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        """Where it listens on 127.0.0.1."""
        self.log = log
        """What every run printed."""

    async def start(self) -> float:
        """Start it, killed first if it runs, and return the seconds from its execution until it is ready."""
        await self.kill()
        started = time.perf_counter()
        self._process = self._execute()
        while not await self._ready(self.port):
            if self._process.poll() is not None:
                raise ProcessError(f"ended while starting: {self._last_words()}")
            if time.perf_counter() - started > START_LIMIT_S:
                raise ProcessError(f"not ready after {START_LIMIT_S:g} s: {self._last_words()}")
            await asyncio.sleep(POLL_S)
        return time.perf_counter() - started

    async def kill(self) -> None:
        """Kill it with its children and wait for its end; nothing happens where it does not run."""
        if self._process is None:
            return
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # It was killed outright: this takes the time that the kernel needs to free its memory.
        await asyncio.to_thread(self._process.wait)
        self._process = None

    def cpu_s(self) -> dict[int, float]:
        """Return the CPU seconds of each living process of it, by its id; of the ended with their parent."""
        return {pid: _cpu_s(pid) for pid in self._pids()}

    def rss_bytes(self) -> int:
        """Return its resident memory, that of its children included."""
        return sum(_kilobytes(pid, "VmRSS") for pid in self._pids()) * 1024

    def peak_rss_bytes(self) -> int:
        """Return the sum of what it and each living child had resident at most."""
        return sum(_kilobytes(pid, "VmHWM") for pid in self._pids()) * 1024

    def _execute(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log, pinned(self._cores):
            return subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _pids(self) -> list[int]:
        if self._process is None:
            return []
        pids = [self._process.pid]
        for pid in pids:
            # Every thread lists the children that it started; the list grows while it is walked.
            with suppress(FileNotFoundError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    pids.extend(map(int, _read(pid, f"task/{task}/children").split()))
        return pids

    def _last_words(self) -> str:
        return (self.log.read_text(errors="replace").strip().splitlines() or ["nothing in its log"])[-1]


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        # The clock of another process (clock_getcpuclockid, as Linux numbers it) counts nanoseconds. Of those
        # that have ended are only ticks of 10 ms: cutime and cstime, after the name, which may hold spaces.
        ended = sum(map(int, _read(pid, "stat").rpartition(")")[2].split()[13:15]))
        return time.clock_gettime(~pid << 3 | 2) + ended * TICK_S
    return 0.0


def _read(pid: int, name: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/{name}") as file:
        return file.read()
    return ""


def _kilobytes(pid: int, field: str) -> int:
    for line in _read(pid, "status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0
