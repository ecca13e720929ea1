"""mdBook's preprocessor: a page's link to a file outside docs/ becomes one to the repository."""

import json
import posixpath
import re
import sys

REPOSITORY = "https://github.com/spectra-rs/spectra/blob/main/"


def outside(target, page):
    """The path in the repository of what a page under docs/ links to, if that is no page or picture of the book."""
    if re.match(r"[a-z]+:|#|/", target):
        return None
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path.startswith("docs/") else path


def mend(chapter):
    page = chapter["path"]
    if page:

        def link(match):
            path = outside(match[1], page)
            return f"]({REPOSITORY}{path})" if path else match[0]

        chapter["content"] = re.sub(r"\]\(([^)\s]+)\)", link, chapter["content"])
    for item in chapter["sub_items"]:
        if "Chapter" in item:
            mend(item["Chapter"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    _, book = json.load(sys.stdin)
    for item in book.get("items", book.get("sections", [])):
        if isinstance(item, dict) and "Chapter" in item:
            mend(item["Chapter"])
    json.dump(book, sys.stdout)
