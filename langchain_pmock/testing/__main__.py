"""`python -m langchain_pmock.testing`: a pmock server on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import threading

from langchain_pmock.testing import PmockServer


def main() -> None:
    """Serve, and print the environment variables that point `ChatPmock` here."""
    parser = argparse.ArgumentParser(
        prog="python -m langchain_pmock.testing",
        description="Serve pmock's contract on 127.0.0.1, until Ctrl-C.",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; a free one by default"
    )
    parser.add_argument("--access-key", help="made up by default")
    parser.add_argument("--secret-key", help="made up by default")
    parser.add_argument(
        "--delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="time between two events of a stream",
    )
    options = parser.parse_args()
    # A shell starts its background jobs with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server = PmockServer(**vars(options))
    try:
        server.start()
    except OSError as error:
        parser.error(f"cannot listen on port {options.port}: {error.strerror}")
    for name, value in server.env.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    server.stop()


if __name__ == "__main__":
    main()
