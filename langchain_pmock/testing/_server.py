"""The server: the service in a thread of this process, on a port of this machine."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from langchain_pmock.testing._app import BASE_PATH, make_app
from langchain_pmock.testing._service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

_HOST = "127.0.0.1"


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # The head and the body are two writes: without this, 40 ms lie between them.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Faults break off the connection of a request.
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class _Running(uvicorn.Server):
    """Uvicorn in a thread, started and stopped at once, whatever is still going on."""

    def __init__(self, service: Service, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(service),
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                # The service's clock may be off on purpose.
                date_header=False,
                server_header=False,
            )
        )
        self._listener = socket.create_server(
            (_HOST, port), backlog=self.config.backlog
        )
        self.port: int = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run_in_thread, name=f"PmockServer-{self.port}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run_in_thread(self) -> None:
        try:
            self.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._ready.set()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        # Each request has seen that its client is gone, and ends.
        while self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks)


class PmockServer(Service):
    """A real HTTP server on this machine that speaks pmock's contract strictly.

    It verifies the access key and the signature of each request, refuses each body that
    the contract does not allow (and says which field is wrong), and answers or streams
    in the documented shapes. Nothing leaves the machine.

    What it answers, in this order:

    * what `script` says, one reply after another;
    * a call of each bound tool that the user's last message is about: the message has a
      word of the tool's name, or else a word of its description. With `toolChoice`
      `"required"` there is a call in any case, after tool results one of a tool that
      was not called yet; with `"none"` there is none. The arguments fit the tool's JSON
      schema: they are numbers, quoted phrases, names and options of an enum that the
      message mentions, or else plain values;
    * with a `responseFormat` of type `json_schema`, JSON that fits the schema, made in
      the same way; of type `json_object`, an object with the keys that the prompt
      quotes ("with the keys 'setup' and 'punchline'");
    * after tool results, what they say: `"get_weather says: It's sunny."`;
    * else what it was told: `"You said: Hello"`.

    `stop`, `maxTokens` and `n` do what they should; a token is a word with the space
    before it, or a single other character. Models whose name ends with `thinking` or
    `thinking-all` send reasoning too. The same requests get the same answers, whatever
    the time and the machine.

    Attributes:
        access_key: The access key that it accepts.
        secret_key: The secret key that belongs to it.
        requests: The requests so far, each with `headers`, `body`, `status` and `code`.
        clock_offset: Seconds to add to the clock; a signature is good for its minute.
        delay: Seconds between two events of a stream.
        newline: What ends a line of a stream.

    Example:
        ```python
        from langchain_pmock import ChatPmock
        from langchain_pmock.testing import PmockServer

        with PmockServer() as server:
            model = ChatPmock(
                model="gpt-5.1",
                base_url=server.url,
                access_key=server.access_key,
                secret_key=server.secret_key,
            )
            server.script("Hi there!")
            assert model.invoke("Hello").text == "Hi there!"
            assert server.requests[0].body["messages"][0]["content"] == "Hello"
        ```

        As a pytest fixture:

        ```python
        import pytest


        @pytest.fixture
        def pmock():
            with PmockServer() as server:
                yield server
        ```
    """

    def __init__(
        self,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        delay: float = 0.0,
    ) -> None:
        """Prepare a server; nothing is opened yet.

        Args:
            access_key: The access key that it accepts; a made-up one by default.
            secret_key: The secret key that belongs to it; a made-up one by default.
            port: The port to listen on; 0 takes a free one.
            clock: Tells the Unix time in seconds.
            delay: Seconds between two events of a stream.
        """
        super().__init__(
            access_key=access_key, secret_key=secret_key, clock=clock, delay=delay
        )
        self._port = port
        self._running: _Running | None = None

    def __repr__(self) -> str:
        """Show the address, and no keys."""
        where = f"url={self.url!r}" if self._running else "stopped"
        return f"{type(self).__name__}({where})"

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Listen on 127.0.0.1, and answer in a thread of its own.

        Raises:
            OSError: The port is taken.
        """
        if self._running is None:
            self._running = _Running(self, self._port)
            self._running.start()

    def stop(self) -> None:
        """Stop at once; what is being sent is broken off."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    @property
    def url(self) -> str:
        """The base URL: `http://127.0.0.1:<port>/api`.

        Raises:
            RuntimeError: The server is not started.
        """
        return f"http://{_HOST}:{self._started.port}{BASE_PATH}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that `ChatPmock` reads."""
        return {
            "PMOCK_ACCESS_KEY": self.access_key,
            "PMOCK_SECRET_KEY": self.secret_key,
            "PMOCK_BASE_URL": self.url,
        }

    @property
    def open_connections(self) -> int:
        """How many connections clients hold open, in use or not."""
        return len(self._started.server_state.connections)

    @property
    def _started(self) -> _Running:
        if self._running is None:
            message = "the server is not started: use `with PmockServer() as server:`"
            raise RuntimeError(message)
        return self._running
