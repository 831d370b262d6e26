# SPDX-License-Identifier: GPL-2.0
"""What the documents say, for those who check it: blocks of commands, tables, links.

    documents.py FOLDER     writes what tests in machines need (README, docs/*.md) into FOLDER

A block of commands is preceded by a line `<!-- run: PLACE -->`, or begins with NOT_RUN. PLACEs:
lab (the command is a test of its own), suite (a machine of `make test`; with the test importer:
`suite importer`), those of `make test-packages`: install, machine, source, remove; and those of
`make test-media`: unit, podman, apparmor, desktop.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
NOT_RUN = "# not run by a test"
PLACES = {"lab", "suite", "suite importer", "install", "machine", "source", "remove",
          "unit", "podman", "apparmor", "desktop", "trace"}
# Installing ends with it; what starts the machine again is the test.
REBOOT = "sudo reboot"


@dataclass
class Block:
    """What stands between two fences."""
    page: str
    line: int
    language: str
    place: str | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass
class Table:
    """A table: what its columns are called, and its rows."""
    page: str
    line: int
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)


def pages() -> list[str]:
    """The documents, README first."""
    return ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
            *sorted(f"docs/{path.name}" for path in (SOURCE / "docs").glob("*.md"))]


def lines(page: str) -> list[str]:
    return (SOURCE / page).read_text().splitlines()


def blocks(page: str) -> list[Block]:
    """What is fenced in a page."""
    found: list[Block] = []
    open_block = None
    before = ""
    for number, line in enumerate(lines(page), 1):
        if open_block:
            if line == "```":
                found.append(open_block)
                open_block = None
            else:
                open_block.lines.append(line)
        elif line.startswith("```"):
            mark = re.fullmatch(r"<!-- run: (.+) -->", before)
            open_block = Block(page, number, line[3:], mark[1] if mark else None)
        before = line
    if open_block:
        raise ValueError(f"{open_block.where}: the block does not end")
    return found


def prose(page: str) -> list[tuple[int, str]]:
    """The lines that are not fenced, with their numbers."""
    fenced = False
    found = []
    for number, line in enumerate(lines(page), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            found.append((number, line))
    return found


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip()[1:-1].split("|")]


def tables(page: str) -> list[Table]:
    """The tables of a page."""
    found: list[Table] = []
    before = (0, "")
    for number, line in prose(page):
        if re.fullmatch(r"\|[-|]+\|", line):
            found.append(Table(page, before[0], cells(before[1])))
        elif line.startswith("|") and before[1].startswith("|"):
            found[-1].rows.append(cells(line))
        before = (number, line)
    return found


def table(page: str, *columns: str) -> Table:
    """The one table of a page with these columns."""
    found = [one for one in tables(page) if one.columns[:len(columns)] == list(columns)]
    if len(found) != 1:
        raise ValueError(f"{page} has {len(found)} tables with the columns {columns}")
    return found[0]


def names(one: Table) -> list[str]:
    """What stands in backquotes in a table's first column."""
    return [name for row in one.rows for name in re.findall("`([^`]+)`", row[0])]


def anchors(page: str) -> list[str]:
    """The anchors that a page's headings get, by GitHub's rules."""
    found: list[str] = []
    for _, line in prose(page):
        if heading := re.match(r"#+ (.*)", line):
            text = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            same = len([one for one in found if re.fullmatch(rf"{re.escape(text)}(-\d+)?", one)])
            found.append(f"{text}-{same}" if same else text)
    return found


def script(place: str) -> str:
    """The commands that run in a place, in the order of the pages."""
    found = ""
    for page in pages():
        for block in blocks(page):
            if block.place == place:
                found += f"# {block.where}\n{block.text}"
    if REBOOT in found and not found.endswith(f"{REBOOT}\n"):
        raise ValueError(f"{place}: {REBOOT} is not the last command")
    return found.removesuffix(f"{REBOOT}\n")


def program(language: str) -> str:
    """README's program in a language."""
    [block] = [block for block in blocks("README.md") if block.language == language]
    return block.text


def write(folder: Path) -> None:
    """What the machines' tests read: commands by place, programs, and tables as words."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in PLACES - {"lab"}:
        (folder / f"{place.replace(' ', '-')}.sh").write_text(script(place))
    for language, name in ("c", "first.c"), ("python", "first.py"):
        (folder / name).write_text(program(language))
    tuning = "docs/tuning.md"
    attributes = table(tuning, "file", "access", "meaning")
    (folder / "attributes").write_text("".join(
        f"{name} {row[1]}\n" for name, row in zip(names(attributes), attributes.rows)))
    for name, columns in ("counters", ("file", "unit", "counts")), \
            ("parameters", ("parameter", "values", "meaning")):
        (folder / name).write_text("".join(f"{one}\n" for one in names(table(tuning, *columns))))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
