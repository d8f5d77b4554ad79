"""A running ``psm … --watch`` and what it says, for tests and measurements."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.running import Psm

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """One event as ``--json`` prints it. ``at`` is in seconds since the epoch, to the millisecond that had begun."""

    kind: str
    at: float
    document: Mapping[str, Any]


class WatchProcess:
    """A watching command in a process group of its own; its events are read as they come. Ends with its block."""

    def __init__(self, psm: Psm, *arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        self.started_at = time.time()
        """In seconds since the epoch."""
        self.process = subprocess.Popen(
            psm.command(*arguments, "--watch", "--json"),
            env={**psm.environment, **(env or {})},
            cwd=psm.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )
        self._said: queue.Queue[Said | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def wait_for(
        self, kind: str, that: Callable[[Said], bool] = lambda _: True, *, timeout_s: float = DEADLINE_S
    ) -> Said:
        """The next event of this kind for which ``that`` holds. The events before it are forgotten."""
        deadline = time.monotonic() + timeout_s
        heard: list[dict[str, Any]] = []
        while True:
            try:
                said = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"waited in vain for {kind!r}; heard {heard}\n{self.errors}") from None
            if said is None:
                self._said.put(None)
                raise AssertionError(f"ended with {self.process.wait()} before {kind!r}; heard {heard}\n{self.errors}")
            if said.kind == kind and that(said):
                return said
            heard.append(dict(said.document))

    def wait_until_ready(self, *, timeout_s: float = DEADLINE_S) -> Said:
        """Waits until all that changed before the start is known."""
        return self.wait_for("ready", timeout_s=timeout_s)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends it a signal, waits for its end, and returns its exit code (negative when the signal killed it)."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends it, whatever it does, as kill -9 on it and its children."""
        if not self._errors.closed:
            if self.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
            self._reader.join()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._errors.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            document = json.loads(line)
            at = datetime.fromisoformat(document["at"]).timestamp()
            self._said.put(Said(document["event"], at, document))
        self._said.put(None)
