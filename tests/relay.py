"""A TCP relay between a client and a real service, which can interrupt the network.

The service itself stays up for its other clients. ``cut`` behaves like a service that has ended
(connections break, new ones are refused at once), ``hang`` like one that accepts everything and
answers nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Mode = Literal["pass", "cut", "hang"]


class Relay:
    """Listens on a free port of this machine while the thread of `relay_to` runs."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mode: Mode = "pass"
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self.port = 0

    def cut(self) -> None:
        self._change("cut")

    def hang(self) -> None:
        self._change("hang")

    def restore(self) -> None:
        self._change("pass")

    def _change(self, mode: Mode) -> None:
        asyncio.run_coroutine_threadsafe(self._changed(mode), self._loop).result()

    async def _changed(self, mode: Mode) -> None:
        was, self._mode = self._mode, mode
        # What hung stays silent for ever: its client must not get an answer that late.
        if mode == "cut" or was == "hang":
            for stream in list(self._open):
                stream.transport.abort()

    async def _accept(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        self._open.add(outgoing)
        try:
            if self._mode == "cut":
                outgoing.transport.abort()
                return
            upstream, downstream = await asyncio.open_connection(*self._target)
            await asyncio.gather(self._copy(incoming, downstream), self._copy(upstream, outgoing))
        except OSError:
            pass
        finally:
            self._open.discard(outgoing)
            outgoing.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if self._mode == "pass":
                    sink.write(data)
                    await sink.drain()
        sink.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server


@contextmanager
def relay_to(host: str, port: int) -> Iterator[Relay]:
    """Give a relay to a service, in a thread of its own."""
    relay = Relay(host, port)
    loop = relay._loop
    thread = threading.Thread(target=loop.run_forever, name="relay")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(relay._listen(), loop).result()
    try:
        yield relay
    finally:
        relay.cut()
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
