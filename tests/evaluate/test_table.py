"""From clips to means, intervals, ratios and bars."""

from __future__ import annotations

import csv
import json

import pytest

from stillmotion.evaluate.table import BARS, COPYING, Entry, as_csv, as_dict, check_bars, markdown, mean, ratio, values

ENTRIES = [
    Entry("reconstruct", f"clip {i}", who, {"l1": factor * (1 + i), "ssim": 0.5})
    for i in range(5)
    for who, factor in ((COPYING, 1.0), ("ours", 0.4))
]


def test_the_mean_lies_within_its_interval() -> None:
    got = mean({str(i): float(i) for i in range(9)})
    assert got is not None
    assert got[0] == 4
    assert 1.5 < got[1] < 4 < got[2] < 6.5
    assert mean({}) is None
    assert mean({"one": 2.0}) == (2, 2, 2)


def test_one_clip_has_no_interval() -> None:
    alone = [entry for entry in ENTRIES if entry.clip == "clip 0"]
    assert "| ours | 0.4000 | 0.500 |" in markdown(alone, bars=())
    told = json.loads(json.dumps(as_dict(alone), allow_nan=False))
    assert told["means"]["reconstruct"]["ours"]["l1"]["mean"] == [pytest.approx(0.4), None, None]


def test_copying_is_as_good_as_itself() -> None:
    copied = values(ENTRIES, "reconstruct", COPYING, score="l1")
    assert ratio(copied, copied) == (1, 1, 1)
    assert ratio(copied, {}) is None
    assert ratio(copied, dict.fromkeys(copied, 0.0)) is None


def test_ratios_are_paired_by_clip() -> None:
    ours, copied = (values(ENTRIES, "reconstruct", who, score="l1") for who in ("ours", COPYING))
    assert ratio(ours, copied) == pytest.approx((0.4, 0.4, 0.4))


def test_bars_are_checked_where_they_can_be() -> None:
    got = dict(check_bars(ENTRIES, "ours"))
    assert [bar.score for bar in got] == ["l1", "lpips", "l1_mouth", "l1_eyes"]
    assert got[BARS[0]] == pytest.approx((0.4, 0.4, 0.4))
    assert got[BARS[1]] is None


def test_the_page_says_what_was_met_and_what_not_measured() -> None:
    page = markdown(ENTRIES, unmeasured={"lpips": "no weights given"})
    assert "### reconstruct: 5 clips" in page
    assert "|  | L1 | SSIM ↑ |" in page
    assert "| reconstruct L1 | at most 0.5 | 0.40 (0.40–0.40) met |" in page
    assert "| reconstruct LPIPS | at most 0.6 | not measured |" in page
    assert page.endswith("LPIPS: not measured (no weights given).\n")
    assert "ratio to copying" not in markdown(ENTRIES, bars=())
    worse = [Entry(e.task, e.clip, e.who, {"l1": 1.0}) for e in ENTRIES]
    assert "1.00 (1.00–1.00) missed" in markdown(worse)


def test_machines_read_the_same_numbers() -> None:
    rows = list(csv.DictReader(as_csv(ENTRIES).splitlines()))
    assert len(rows) == 20
    assert rows[0] == {"task": "reconstruct", "clip": "clip 0", "who": COPYING, "score": "l1", "value": "1"}
    told = json.loads(json.dumps(as_dict(ENTRIES)))
    assert told["means"]["reconstruct"]["ours"]["l1"]["mean"][0] == pytest.approx(1.2)
    assert told["bars"]["ours"][0]["met"] is True
    assert told["bars"]["ours"][1]["met"] is False
    assert len(told["clips"]) == 10
