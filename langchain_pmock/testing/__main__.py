"""`python -m langchain_pmock.testing`: a pmock server on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import threading

from langchain_pmock.testing import PmockServer

_PAIR = 2  # an access key and a secret key


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
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="base URL of an OpenAI-compatible server that answers, such as "
        "http://localhost:11434/v1, or of pmock",
    )
    parser.add_argument(
        "--upstream-model", metavar="NAME", help="model to ask for there"
    )
    parser.add_argument(
        "--upstream-key",
        metavar="KEY",
        nargs="+",
        default=os.environ.get("PMOCK_UPSTREAM_KEY", "").split(),
        help="bearer key for the upstream; for pmock its access key and secret key. "
        "Other users of this machine can see a command line: better set "
        "PMOCK_UPSTREAM_KEY",
    )
    parser.add_argument(
        "--record", metavar="FILE", help="keep the upstream's answers in this file"
    )
    parser.add_argument("--replay", metavar="FILE", help="answer from this file")
    parser.add_argument(
        "--documented-models-only", action="store_true", help="refuse other models"
    )
    parser.add_argument(
        "--allow-reasoning",
        action="store_true",
        help="take reasoningContent in requests, which is not documented",
    )
    options = parser.parse_args()
    # A shell starts its background jobs with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    key = tuple(options.upstream_key) if options.upstream else ()
    if len(key) > _PAIR:
        parser.error("--upstream-key takes one key, or pmock's two")
    options.upstream_key = key if len(key) == _PAIR else "".join(key) or None
    try:
        # Nobody can read the requests of a process of its own: none is kept.
        server = PmockServer(**vars(options), keep_requests=0)
        server.start()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        action = f"listen on port {options.port}"
        if error.filename:
            action = f"read {error.filename}"
        parser.error(f"cannot {action}: {error.strerror}")
    for name, value in server.env.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    server.stop()


if __name__ == "__main__":
    main()
