"""One of several processes on one port: serves the documents that are its own, and passes on the others'."""

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from socket import socket
from urllib.parse import unquote_to_bytes

from server.app import create_app
from server.listening import Server, run
from server.logs import configure
from server.settings import Settings
from server.transport.uvicorn import CowriteProtocol
from server.workers.parent import when_parent_ends
from server.workers.passing import Passing
from server.workers.placement import Placement

__all__ = ["work"]

logger = logging.getLogger("cowrite.workers")


def work(settings: Settings, listener: socket, number: int, placement: Placement, passing: Passing) -> None:
    """Serve until a signal, or until the parent is gone; exits with what ``run`` returns."""
    configure(settings.log_level)
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    sys.exit(run(_Worker(settings, number, placement, passing), [listener]))


class _Worker(Server):
    """Takes what others pass on, from when it serves until it stops."""

    def __init__(self, settings: Settings, number: int, placement: Placement, passing: Passing) -> None:
        super().__init__(settings, create_app(settings))
        # A class to uvicorn, which only calls it.
        self.config.ws = partial(CowriteProtocol, pass_on=self._pass_on)  # type: ignore[assignment]
        self._number = number
        self._placement = placement
        self._passing = passing

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start to serve, then tell the others."""
        await super().startup(sockets)
        if self.started:
            self._passing.listen(self._number, self._take)
            self._report()
            logger.info("process %d serves", os.getpid())

    async def on_tick(self, counter: int) -> bool:
        """Report, ten times a second."""
        self._report()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Tell the others, then stop."""
        self._placement.retire(self._number)
        self._passing.stop_listening(self._number)
        await super().shutdown(sockets)

    def _report(self, leave_out: int = 0) -> None:
        if not self.should_exit:
            self._placement.report(self._number, len(self.server_state.connections) - leave_out)

    def _pass_on(self, tcp: asyncio.Transport, path: bytes, request: bytes) -> bool:
        self._report(leave_out=1)  # the one that is to be placed
        worker = self._placement.place(unquote_to_bytes(path), here=self._number)
        is_passed = worker != self._number and self._passing.pass_on(worker, tcp, request)
        self._placement.add(worker if is_passed else self._number)
        return is_passed

    def _take(self, connection: socket, request: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._adopt(connection, request))
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)

    async def _adopt(self, connection: socket, request: bytes) -> None:
        protocol = CowriteProtocol(self.config, self.server_state, self.lifespan.state)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
        except OSError:
            connection.close()  # which the client has done already
            return
        if self.should_exit:
            protocol.shutdown()
        else:
            protocol.data_received(request)
