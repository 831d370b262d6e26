# SPDX-License-Identifier: GPL-2.0
"""The documents themselves: length, width, links, blocks, and what they quote."""

import re

import pytest
from documents import (NOT_RUN, PLACES, SOURCE, anchors, blocks, lines, names, pages, prose, table,
                       tables)

# cargo test compiles what is Rust, as documentation of the library.
LANGUAGES = {"sh", "text", "rust,no_run", "c", "python", "mermaid"}


def test_readme_is_read_once() -> None:
    assert len(lines("README.md")) <= 150


@pytest.mark.parametrize("page", pages())
def test_width(page: str) -> None:
    """What is fenced may be as wide as it is."""
    wide = [f"{page}:{number}: {len(line)} columns" for number, line in prose(page)
            if len(line) > (140 if line.startswith("|") else 100)]
    assert not wide


@pytest.mark.parametrize("page", pages())
def test_tables_are_whole(page: str) -> None:
    for one in tables(page):
        assert {len(row) for row in one.rows} == {len(one.columns)}, f"{page}:{one.line}"


@pytest.mark.parametrize("page", pages())
def test_links(page: str) -> None:
    """Files that are linked are there, and have the headings."""
    bad = []
    for number, line in prose(page):
        for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", line):
            link = "".join(link)
            if re.match("[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (SOURCE / page).parent / path if path else SOURCE / page
            if not target.exists():
                bad.append(f"{page}:{number}: there is no {path}")
            elif anchor and anchor not in anchors(str(target.resolve().relative_to(SOURCE))):
                bad.append(f"{page}:{number}: {path or page} has no heading #{anchor}")
    assert not bad


@pytest.mark.parametrize("page", pages())
def test_blocks_are_run_or_marked(page: str) -> None:
    bad = []
    for block in blocks(page):
        if block.language not in LANGUAGES:
            bad.append(f"{block.where}: a block of the language {block.language!r}")
        if block.language == "sh":
            if block.place not in PLACES and block.lines[0] != NOT_RUN:
                bad.append(f"{block.where}: neither run (<!-- run: ... -->) nor {NOT_RUN!r}")
            if block.place and block.lines[0] == NOT_RUN:
                bad.append(f"{block.where}: run and not run")
    assert not bad


def test_the_mark_is_explained_once() -> None:
    said = [page for page in pages() for _, line in prose(page) if f"`{NOT_RUN}`" in line]
    assert said == ["README.md"]


@pytest.mark.parametrize("page", pages())
def test_targets_exist(page: str) -> None:
    """Each `make TARGET` is one of the Makefile."""
    code = [block.text for block in blocks(page) if block.language == "sh"]
    code += [span for _, line in prose(page) for span in re.findall("`([^`]+)`", line)]
    targets = set(re.findall(r"\bmake(?: [A-Z_]+=\S+)* ([a-z][a-z-]*)", "\n".join(code)))
    known = set(re.findall("^([a-z-]+):", (SOURCE / "Makefile").read_text(), re.M))
    # That is one of the kernel's Makefile.
    assert targets - {"menuconfig"} <= known


def test_commands_of_the_lab_are_run() -> None:
    """By CI, or by make test-all, whose commands are the tuple REST."""
    run = set(re.findall("^step ([a-z-]+)", (SOURCE / ".ci/run").read_text(), re.M))
    rest = re.search(r"^REST = \((.*?)\)", (SOURCE / "tests/lab/lab/cli.py").read_text(),
                     re.M | re.S)
    assert rest
    run |= set(re.findall('"([a-z-]+)"', rest[1]))
    said = {line.partition("#")[0].strip() for page in pages() for block in blocks(page)
            if block.place == "lab" for line in block.lines}
    assert said <= {f"sudo make {command}" for command in run}


def test_the_other_commands_are_run() -> None:
    """Each place has a script in a machine that runs what the documents have for it."""
    scripts = "\n".join(file.read_text() for file in (SOURCE / "tests/vm").rglob("*.sh"))
    used = {block.place for page in pages() for block in blocks(page)} - {None, "lab"}
    assert used == PLACES - {"lab"}
    missing = [place for place in used if f"{str(place).replace(' ', '-')}.sh" not in scripts]
    assert not missing


def strings() -> list[str]:
    """The texts of the module's source, with … for what it puts in."""
    return [re.sub(r"\{[^}]*\}", "…", text.removesuffix("\\n"))
            for path in sorted((SOURCE / "drivers").rglob("*.rs"))
            for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', path.read_text())]


@pytest.mark.parametrize("page, heading", [("README.md", "symptom"),
                                           ("docs/troubleshooting.md", "message")])
def test_messages_are_the_modules(page: str, heading: str) -> None:
    """What the tables quote of the module's log stands in its source."""
    foreign = ("default_cma_region", "Module rust_dma_heap is in use", "Permission denied",
               "Invalid module format", "version magic", "Invalid relocation target",
               "Unknown symbol")
    quotes = [quote for one in tables(page) if one.columns[0] == heading
              for row in one.rows for quote in re.findall("`([^`]{12,})`", row[0])]
    assert set(quotes) - set(foreign)
    bad = [quote for quote in quotes if quote not in foreign
           and not any(quote in text for text in strings())]
    assert not bad


def test_every_message_has_a_remedy() -> None:
    """Errors and warnings of the module's log are in the tables."""
    source = "\n".join(path.read_text() for path in (SOURCE / "drivers").rglob("*.rs"))
    said = re.findall(r'(?:pr_err|pr_warn)!\(\s*"([^"]+)\\n"', source)
    said += re.findall(r'dev_warn!\(\s*[^,]+,\s*"([^"]+)\\n"', source)
    assert len(said) >= 8
    known = "\n".join(lines("docs/troubleshooting.md") + lines("README.md"))
    bad = [text for text in said
           if re.split("[;:]", re.sub(r"\{[^}]*\}", "…", text))[0] not in known]
    assert not bad


def test_abi_is_what_tuning_says() -> None:
    """docs/abi has the same files as the tables, with the same access."""
    texts = (SOURCE / "docs/abi/sysfs-class-dma_heap").read_text()
    attributes = table("docs/tuning.md", "file", "access", "meaning")
    found = re.findall(r"What:\t\t/sys/class/dma_heap/<heap>/(\w+)\n(?:.*\n)*?\t\t\((R\w)\)", texts)
    assert found == [(name, {"r": "RO", "rw": "RW"}[row[1]])
                     for name, row in zip(names(attributes), attributes.rows)]
    counters = re.findall("^What:\t\t/sys/kernel/debug/rust_dma_heap/<heap>/(.*)$",
                          (SOURCE / "docs/abi/debugfs-rust_dma_heap").read_text(), re.M)
    assert sorted(counters) == sorted(names(table("docs/tuning.md", "file", "unit", "counts")))


def test_tracepoints_are_the_headers() -> None:
    header = (SOURCE / "include/rust_dma_heap_trace.h").read_text()
    events = re.findall(r"^(?:TRACE_EVENT|DEFINE_EVENT)\((?:\w+, )?(dma_heap_\w+),", header, re.M)
    assert len(events) >= 8
    table_of_events = table("docs/tuning.md", "event of `dmabuf_heap`", "when", "fields")
    assert sorted(names(table_of_events)) == sorted(events)


def test_parameters_are_the_modules() -> None:
    parameters = re.findall(r"^        (\w+): \w+ \{$",
                            (SOURCE / "drivers/rust_dma_heap.rs").read_text(), re.M)
    assert names(table("docs/tuning.md", "parameter", "values", "meaning")) == parameters
