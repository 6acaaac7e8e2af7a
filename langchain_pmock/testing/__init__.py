"""A local pmock server, to test code that uses `ChatPmock` without a network.

It needs the extra `testing`: `pip install "langchain-pmock[testing]"`. From a shell,
`python -m langchain_pmock.testing` starts it.
"""

try:
    import starlette  # noqa: F401 - only to see whether it is there
    import uvicorn  # noqa: F401 - as above
except ImportError as error:
    message = (
        "langchain_pmock.testing needs starlette and uvicorn: "
        'pip install "langchain-pmock[testing]"'
    )
    raise ImportError(message) from error

from langchain_pmock.testing._replies import Fault, Reply, ToolCall
from langchain_pmock.testing._server import PmockServer
from langchain_pmock.testing._service import RecordedRequest

__all__ = ["Fault", "PmockServer", "RecordedRequest", "Reply", "ToolCall"]
