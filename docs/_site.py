"""MkDocs hook: the site's pages are files of the repository, under the same paths.

A link between two files then works on GitHub and on the site. Scripts and the notebook
become pages too; nothing is executed.
"""

from __future__ import annotations

import re
import shutil
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


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs_dir` with those of the repository."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = sorted({path for glob in SOURCES for path in ROOT.glob(glob)})
    pages = [file for path in paths for file in _files(path, config)]
    return Files([*pages, *theme])


def on_post_build(config: MkDocsConfig) -> None:
    """Publish `llms.txt` with the sources that it links to."""
    folder = ROOT / "docs"
    links = re.findall(r"\]\(([^)]+)\)", (folder / "llms.txt").read_text("utf-8"))
    for link in ["llms.txt", *links]:
        target = Path(config.site_dir, "docs", link).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / link, target)


class _Page(File):
    """A page whose source is no Markdown file."""

    @override
    def is_documentation_page(self) -> bool:
        return True


def _files(path: Path, config: MkDocsConfig) -> Iterator[File]:
    name = path.relative_to(ROOT).as_posix()
    if path.suffix == ".py":
        text = f"# {path.name}\n\n```python\n{path.read_text('utf-8')}```\n"
        yield _Page.generated(config, name, content=text)
    elif path.suffix == ".ipynb":
        exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
        text, resources = exporter.from_filename(str(path))
        # Jupyter keeps the capitals of a heading in its anchor.
        text = re.sub(r"\]\(#[^)]+\)", lambda link: link[0].lower(), text)
        yield _Page.generated(config, name, content=text)
        for output, content in resources["outputs"].items():
            yield File.generated(config, f"examples/{output}", content=content)
    else:
        directory_urls = config.use_directory_urls
        yield File(name, str(ROOT), config.site_dir, directory_urls)
