# SPDX-License-Identifier: GPL-2.0
"""TAP, skips, kernel logs, and what they add up to."""

from pathlib import Path

import pytest

from lab import results
from lab.results import Results, Tap, log_check, reasons_after, split_kunit, split_output
from lab.steps import LabError

MARK = "[    1.0] lab: the log check begins here"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    skips = tmp_path / "skips"
    skips.write_text("# why\namd64-.*/known | no edu | it has none\n")
    monkeypatch.setattr(results, "SKIPS", skips)
    (tmp_path / "results").mkdir()
    return Results(tmp_path / "results")


def test_each_failure_has_its_own_reasons() -> None:
    tap = Tap.read("TAP version 13\n1..3\nnot ok 1 - a\n# one\n# two\nnot ok 2 - b\n# three\n"
                   "ok 3 - c\n# of a test that passed\n")
    assert tap.failed == [["not ok 1 - a", "# one", "# two"], ["not ok 2 - b", "# three"]]
    assert tap.passed == 1


def test_the_sums_are_no_reason() -> None:
    tap = Tap.read("1..1\nnot ok 1 - a\n# one\n# Totals: pass:0 fail:1\n")
    assert tap.failed == [["not ok 1 - a", "# one"]]


def test_the_kernels_own_reasons_come_behind() -> None:
    tap = reasons_after("# Subtest: x\n1..4\n# of a\nnot ok 1 a\n# of b\n# more\nnot ok 2 b\n"
                        "# of c\nok 3 c\nnot ok 4 d\n")
    assert tap == ("# Subtest: x\n1..4\nnot ok 1 a\n# of a\nnot ok 2 b\n# of b\n# more\n"
                   "# of c\nok 3 c\nnot ok 4 d\n")
    assert reasons_after("") == ""


def test_ktap_is_read() -> None:
    assert Tap.read("KTAP version 1\n1..1\nok 1 a\n").passed == 1


@pytest.mark.parametrize("text", [
    "", "ok 1 - a\n", "1..2\nok 1 - a\n", "1..1\nok 1 - a\nok 2 - b\n", "1..1\nok 2 - a\n",
    "ok 1 - a\n1..2\nok 2 - b\n", "1..1\nok 1 - a\n1..1\n", "1..1\nok 1 - a\nBail out! no\n"])
def test_broken_streams_fail(text: str) -> None:
    assert Tap.read(text).failed


def test_a_plan_at_the_end_is_good() -> None:
    assert not Tap.read("ok 1 - a\nok 2 - b\n1..2\n").failed


def test_skips_are_named() -> None:
    tap = Tap.read("1..2\nok 1 - a # SKIP no edu\nok 2 # skip\n")
    assert tap.skipped == ["- a: no edu", ": "]
    assert Tap.read("1..0 # SKIP no device\n").skipped == ["all: no device"]


def test_an_unknown_skip_fails(folder: Results) -> None:
    folder.put("amd64-suite/known", "1..2\nok 1 - a # SKIP no edu\nok 2 - b\n", 4)
    folder.put("amd64-suite/other", "1..1\nok 1 - a # SKIP no edu\n", 4)
    summary = folder.summary()
    assert (summary.passed, summary.failed, summary.skipped) == (1, 1, 1)
    assert "does not list: - a: no edu" in summary.failures[0][1]
    assert not summary.good


def test_a_status_that_no_test_explains_fails(folder: Results) -> None:
    folder.put("a", "1..1\nok 1 - a\n", 1)
    folder.put("b", "1..1\nnot ok 1 - a\n# why\n", 1)
    summary = folder.summary()
    assert summary.failures == [("a", "ended with status 1 though no test failed"),
                                ("b", "not ok 1 - a")]
    assert "         # why" in summary.text


def test_restarts_are_told_and_no_failures(folder: Results) -> None:
    folder.put("a", "1..1\nok 1 - a\n")
    folder.restarted("amd64-suite")
    folder.restarted("arm64-suite")
    summary = folder.summary()
    assert "2 machines were started again: amd64-suite, arm64-suite" in summary.text
    assert summary.good and summary.last == "1 passed, 0 failed, 0 skipped"


def test_no_results_are_an_error(folder: Results) -> None:
    with pytest.raises(LabError):
        folder.summary()


def test_nothing_passed_is_not_good(folder: Results) -> None:
    folder.put("amd64-suite/known", "1..1\nok 1 - a # SKIP no edu\n", 4)
    assert not folder.summary().good


def test_the_projects_list_of_skips_is_read() -> None:
    assert results.read_skips(Path(__file__).parents[2] / "skips")


def test_output_is_split() -> None:
    tests, stray = split_output("stray\n### begin a\n1..1\nok 1 - a\n\n### end a 0\n"
                                "### begin b\n1..2\nok 1\n")
    assert tests == {"a": ("1..1\nok 1 - a\n", 0), "b": ("1..2\nok 1\n", None)}
    assert stray == ["stray"]


def test_a_machine_that_died_says_where(folder: Results, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("### begin b\n1..2\nok 1\n")
    folder.split("amd64-suite", out, 125)
    names = dict(folder.summary().failures)
    assert "not ok 1" in names["amd64-suite/machine"]
    assert "status 125, died in b" in folder.summary().text


def test_a_machine_without_tests_fails(folder: Results, tmp_path: Path) -> None:
    folder.split("amd64-suite", tmp_path / "nothing", 0)
    assert folder.summary().failed == 1


def test_kunit_suites() -> None:
    log = (f"    KTAP version 1\n    1..1\n    ok 1 early\nok 1 early\n{MARK}\n"
           "[    2.0]     KTAP version 1\n[    2.0]     1..2\n[    2.0]     ok 1 a\n[    2.0] hm\n"
           "[    2.0]     not ok 2 b\n[    2.0] not ok 1 pool\n"
           "[    3.0] lab: loaded and unloaded\n")
    suites, done = split_kunit(log)
    assert suites == {"pool": ("TAP version 13\n1..2\nok 1 a\nnot ok 2 b\n# hm\n", 1)}
    assert done
    assert not split_kunit(log.replace("lab: loaded", ""))[1]


def test_a_complaint_fails() -> None:
    tap, good = log_check([MARK, "[    2.0] before", "[    2.0] BUG: KASAN: slab", "after"])
    assert not good and "# > BUG: KASAN: slab" in tap and "#   after" in tap


def test_before_the_mark_nothing_counts() -> None:
    assert log_check(["WARNING: at", MARK, "all well"])[1]
    assert not log_check(["all well"])[1]


def test_declared_lines() -> None:
    expect = "[    2.0] lab: expect {} ^DMA-API: "
    bad = "[    3.0][ T12] DMA-API: exceeded"
    assert log_check([MARK, expect.format(1), bad])[1]
    assert not log_check([MARK, expect.format(1)])[1]
    assert not log_check([MARK, expect.format(1), bad, bad])[1]
    assert log_check([MARK, expect.format("any"), bad, bad])[1]
    assert log_check([MARK, expect.format("any")])[1]
    # An "any" takes nothing from one that counts.
    assert log_check([MARK, expect.format("any"), expect.format(1), bad])[1]


def test_many_complaints_are_cut() -> None:
    tap, good = log_check([MARK, *(["Oops: 1"] + ["x"] * 40) * 7])
    assert not good and "# and 2 more" in tap and tap.count("# > Oops") == 5
