"""MkDocs hook: the site's pages are files of the repository, under the same paths.

A link between two files then works on GitHub and on the site. Scripts and the notebook
become pages too; nothing is executed.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parents[1]
SOURCES = (
    "LICENSE",
    "*.md",
    "docs/**/*.md",
    "docs/*.css",
    "benchmarks/*.md",
    "benchmarks/*.svg",
    "examples/[!_]*.*",
)
# The search lists guides before examples.
RANK = "---\nsearch: {boost: 0.2}\n---\n\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Link to the repository, whose address is in pyproject.toml alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    config.repo_url = project["urls"]["Source"]
    config.repo_name = "GitHub"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs_dir` with those of the repository."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = sorted({path for glob in SOURCES for path in ROOT.glob(glob)})
    pages = [file for path in paths for file in _files(path, config)]
    return Files([*pages, *theme])


def on_post_build(config: MkDocsConfig) -> None:
    """Publish `llms.txt` at the root, with the sources that it links to."""
    text = (ROOT / "docs" / "llms.txt").read_text("utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        source = (ROOT / "docs" / link).resolve()
        path = source.relative_to(ROOT).as_posix()
        text = text.replace(f"]({link})", f"]({path})")
        target = Path(config.site_dir, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    Path(config.site_dir, "llms.txt").write_text(text, "utf-8")


class _Page(File):
    """A page whose source is no Markdown file."""

    @override
    def is_documentation_page(self) -> bool:
        return True


def _files(path: Path, config: MkDocsConfig) -> Iterator[File]:
    name = path.relative_to(ROOT).as_posix()
    if path.suffix == ".py":
        text = f"{RANK}# {path.name}\n\n```python\n{path.read_text('utf-8')}```\n"
        yield _Page.generated(config, name, content=text)
    elif path.suffix == ".ipynb":
        exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
        text, resources = exporter.from_filename(str(path))
        # Jupyter keeps the capitals of a heading in its anchor.
        text = re.sub(r"\]\(#[^)]+\)", lambda link: link[0].lower(), text)
        yield _Page.generated(config, name, content=RANK + text)
        for output, content in resources["outputs"].items():
            yield File.generated(config, f"examples/{output}", content=content)
    else:
        directory_urls = config.use_directory_urls
        yield File(name, str(ROOT), config.site_dir, directory_urls)
