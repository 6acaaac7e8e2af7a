"""The contestants' names, for processes that are to load none of them."""

FLOOR = "floor"
PMOCK = "ChatPmock"
AIOHTTP = "ChatPmock, extra aiohttp"
BEFORE = "ChatPmock before"
MISTRAL = "langchain-mistralai"
OPENAI = "langchain-openai"

MODELS = (PMOCK, MISTRAL, OPENAI)
SYNC = (FLOOR, *MODELS)
ASYNC = (FLOOR, PMOCK, AIOHTTP, MISTRAL, OPENAI)

MODULES = {
    FLOOR: (
        "langchain_core.language_models.chat_models",
        "langchain_core.output_parsers.json",
        "langchain_core.output_parsers.openai_tools",
        "langchain_core.output_parsers.pydantic",
        "httpx",
    ),
    PMOCK: ("langchain_pmock",),
    AIOHTTP: ("langchain_pmock",),
    BEFORE: ("langchain_pmock",),
    MISTRAL: ("langchain_mistralai",),
    OPENAI: ("langchain_openai",),
}
"""What each imports; the floor what `ChatPmock` needs of others."""
