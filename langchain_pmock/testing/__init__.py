"""A local pmock server for testing code that uses `ChatPmock`.

It requires the extra `testing`: `pip install "langchain-pmock[testing]"`. The command
`python -m langchain_pmock.testing` starts it from a shell; the pytest plugin has the
fixture `pmock_server` and the marker `pmock_tape`.
"""

try:
    import aiohttp as _  # noqa: F401
except ModuleNotFoundError as error:
    message = 'PmockServer needs aiohttp: pip install "langchain-pmock[testing]"'
    raise ModuleNotFoundError(message, name="aiohttp") from error

from langchain_pmock.testing._script import Fault, RecordedRequest, Reply, ToolCall
from langchain_pmock.testing._server import PmockServer

__all__ = ["Fault", "PmockServer", "RecordedRequest", "Reply", "ToolCall"]
