"""The contestants' names, for processes that are to load none of them."""

FLOOR = "floor"
PMOCK = "ChatPmock"
AIOHTTP = "ChatPmock, HttpxAiohttpClient"
BEFORE = "ChatPmock before"
MISTRAL = "langchain-mistralai"
OPENAI = "langchain-openai"

MODELS = (PMOCK, MISTRAL, OPENAI)
SYNC = (FLOOR, *MODELS)
ASYNC = (FLOOR, PMOCK, AIOHTTP, MISTRAL, OPENAI)

# What `ChatPmock` needs of others.
_NEEDED = (
    "langchain_core.language_models.chat_models",
    "langchain_core.output_parsers.json",
    "langchain_core.output_parsers.openai_tools",
    "langchain_core.output_parsers.pydantic",
    "langchain_core.tools.base",
    "httpx2",
)
MODULES = {
    FLOOR: _NEEDED,
    **dict.fromkeys((PMOCK, AIOHTTP), (*_NEEDED, "langchain_pmock")),
    BEFORE: (*_NEEDED[:-1], "langchain_pmock"),  # whichever HTTP library it needs
    MISTRAL: ("langchain_mistralai",),
    OPENAI: ("langchain_openai",),
}
"""What each imports, `ChatPmock` after what it needs."""
