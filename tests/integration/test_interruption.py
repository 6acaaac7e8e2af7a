"""Sync calls that are interrupted, as by Ctrl-C: later calls work."""

import sys

import pytest

from langchain_pmock.testing import PmockServer
from tests.support.processes import python

SCRIPT = """
import random, signal, sys
from langchain_pmock import ChatPmock

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(1)
model = ChatPmock(model="gpt-5.1", max_retries=0)
model.invoke("Hello")
interrupted = 0
while interrupted < int(sys.argv[1]):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.003))
        if interrupted % 2:
            for _ in model.stream("Hello"):
                pass
        else:
            model.invoke("Hello")
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
for _ in range(int(sys.argv[2])):
    assert model.invoke("Hello").text == "You said: Hello"
print(interrupted)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interval timers")
def test_calls_after_interruptions() -> None:
    with PmockServer(delay=0.0002, keep_requests=1) as server:
        done = python("-c", SCRIPT, 500, 20, env=server.env)
    assert done.stdout == "500\n"
