"""The notice before the first use: it stands in the way, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


@pytest.mark.parametrize("path", ["", "live/"])
def test_the_notice_is_shown_before_the_first_use_and_remembered(open_page: Callable[..., Any], path: str) -> None:
    page = open_page(path, agrees=False)
    notice = page.wait_for_selector("dialog#consent[open]")
    assert "people who agreed to it" in notice.inner_text()
    assert "Say that it is generated" in notice.inner_text()
    page.keyboard.press("Escape")
    assert page.is_visible("#consent"), "it does not go by accident"
    covered = (
        "document.elementFromPoint(30, 30).closest('#consent') !== null || document.querySelector(':modal') !== null"
    )
    assert page.evaluate(covered), "nothing behind it can be used"
    page.get_by_role("button", name="I understand").click()
    assert not page.is_visible("#consent")
    page.reload()
    page.get_by_role("button", name="Start" if path else "Use the example", exact=True).wait_for()
    assert page.locator("#consent").count() == 0, "who has read it is not asked again"
