"""Writes the page with the wasm module and the host's numbers in it: one file, which a browser opens from the disk."""

import base64
import sys

page, module, expected = sys.argv[1:]
with open(page, encoding="utf-8") as file:
    text = file.read()
with open(module, "rb") as file:
    encoded = base64.b64encode(file.read()).decode()
with open(expected, encoding="utf-8") as file:
    numbers = file.read()
for empty, full in [
    ('<script id="module" type="text/plain"></script>', f'<script id="module" type="text/plain">{encoded}</script>'),
    ('<script id="expected" type="application/json">null</script>', f'<script id="expected" type="application/json">{numbers}</script>'),
]:
    if text.count(empty) != 1:
        sys.exit(f"{page} has no place for {empty}")
    text = text.replace(empty, full)
sys.stdout.write(text)
