"""A local pmock server, to test code that uses `ChatPmock` without a network.

It needs the extra `testing`: `pip install "langchain-pmock[testing]"`. From a shell,
`python -m langchain_pmock.testing` starts it.
"""

try:
    import h11  # noqa: F401 - only to see whether it is there
except ImportError as error:
    message = (
        'langchain_pmock.testing needs h11: pip install "langchain-pmock[testing]"'
    )
    raise ImportError(message) from error

from langchain_pmock.testing._script import Fault, RecordedRequest, Reply, ToolCall
from langchain_pmock.testing._server import PmockServer

__all__ = ["Fault", "PmockServer", "RecordedRequest", "Reply", "ToolCall"]
