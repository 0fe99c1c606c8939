"""Every story on every adapter."""

from __future__ import annotations

import pytest

from sojourn.testing import DrivenClock
from tests.adapters.applications import APPLICATIONS
from tests.adapters.stories import STORIES, Browser, Story, make_auth


@pytest.mark.parametrize("adapter", APPLICATIONS)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_story(adapter: str, story: Story) -> None:
    clock = DrivenClock()
    auth = make_auth(clock)
    await auth.start()
    try:
        await story(Browser(app=APPLICATIONS[adapter](auth), auth=auth, clock=clock))
    finally:
        await auth.aclose()
