"""Writes what a command prints, colours and all, as an SVG: `COMMAND | picture.py TITLE FILE`."""

import re
import sys

from rich.console import Console
from rich.text import Text

title, file = sys.argv[1:]
text = Text.from_ansi(sys.stdin.read().rstrip())
width = max(len(line) for line in text.plain.splitlines())
console = Console(record=True, width=width, file=open("/dev/null", "w"), force_terminal=True, legacy_windows=False)
console.print(text, no_wrap=True, highlight=False)
svg = console.export_svg(title=title, unique_id="demo")
# Fonts of the reader's machine: nothing is loaded from elsewhere.
svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "ui-monospace, monospace")
with open(file, "w") as picture:
    picture.write(svg + "\n")
