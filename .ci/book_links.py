"""Every link and every picture of the pages under docs/, of the README files, and of the built book leads to something; every page is in the book, and
every public module in its list of tasks."""

import html
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOOK = ROOT / "target/book"
TASKS = ROOT / "docs/index.md"
# The crates that a user depends on.
CRATES = ["spectra-core", "spectra-candle", "spectra-burn", "spectra-cuda", "spectra-mpi"]


def tracked(*patterns):
    """Files of the repository, new ones too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def anchors(page):
    """The ids of a page's headings, as GitHub and mdBook make them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


def pages():
    faults = []
    for page in tracked("docs/*.md", "docs/**/*.md", "*README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            where = f"{page.relative_to(ROOT)}: {target}"
            if not file.exists():
                faults.append(f"{where} does not exist")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                faults.append(f"{where} has no such heading")
        # mdBook includes nothing where an anchor is missing, and says nothing.
        for path, anchor in re.findall(r"\{\{#include ([^:}]+):?([^}]*)\}\}", page.read_text()):
            file = page.parent / path
            if anchor and (not file.exists() or not re.search(rf"ANCHOR: {anchor}$", file.read_text(), flags=re.M)):
                faults.append(f"{page.relative_to(ROOT)}: {path} has no anchor {anchor}")
    summary = (ROOT / "docs/SUMMARY.md").read_text()
    for page in tracked("docs/*.md", "docs/**/*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        if name != "SUMMARY.md" and f"({name})" not in summary:
            faults.append(f"docs/{name} is not in docs/SUMMARY.md")
    tasks = TASKS.read_text()
    for module in modules():
        if f"`{module}`" not in tasks:
            faults.append(f"{TASKS.relative_to(ROOT)} has no task for the public module `{module}`")
    return faults


def modules():
    """`crate::module` of every public module of the published crates, whose parents are public, too."""
    for crate in CRATES:
        name = crate.replace("-", "_")
        yield name
        yield from within(ROOT / crate / "src/lib.rs", name, ROOT / crate / "src")


def within(file, name, folder):
    for module in re.findall(r"^pub mod (\w+);", file.read_text(), flags=re.M):
        path = f"{name}::{module}"
        yield path
        child = folder / f"{module}.rs"
        child = child if child.exists() else folder / module / "mod.rs"
        yield from within(child, path, folder / module)


def book():
    faults = []
    for page in sorted(BOOK.rglob("*.html")):
        if page.name in ("print.html", "404.html"):
            continue
        text = page.read_text()
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            target = html.unescape(target)
            if re.match(r"[a-z]+:|//", target):
                continue
            path, _, anchor = target.partition("#")
            path = urllib.parse.unquote(path)
            file = (page.parent / path).resolve() if path else page
            where = f"{page.relative_to(BOOK)}: {target}"
            if not file.exists():
                faults.append(f"{where} does not exist in the book")
            elif anchor and file.suffix == ".html" and f'id="{urllib.parse.unquote(anchor)}"' not in file.read_text():
                faults.append(f"{where} has no such place")
    return faults


if __name__ == "__main__":
    found = {"pages": pages, "book": book}[sys.argv[1]]()
    for fault in found:
        print(f"error: {fault}")
    sys.exit(1 if found else 0)
