"""What the page promises to the two people who use it."""

import json

from playwright.async_api import BrowserContext, expect
from websockets.asyncio.client import connect

from tests.browser.conftest import OpenWindow
from tests.browser.driver import Pane, Window
from tests.support.polling import PATIENCE_S, poll
from tests.support.server_process import ServerProcess


async def test_what_one_side_types_the_other_reads(open_window: OpenWindow) -> None:
    """Text, line breaks and characters outside the basic plane arrive as they were typed."""
    window = await open_window()
    await window.left.type("Dear all,\nit works 🎉")
    await window.right.reads("Dear all,", "it works 🎉")
    await window.right.type("\nÀ bientôt")
    await window.left.reads("Dear all,", "it works 🎉", "À bientôt")
    await window.left.is_live_and_saved()
    await window.right.is_live_and_saved()


async def test_undo_takes_back_only_ones_own_edits(open_window: OpenWindow) -> None:
    """Undo on one side leaves what the other side typed, also when that came later."""
    window = await open_window()
    await window.left.type("mine ")
    await window.right.reads("mine ")
    await window.right.type("yours")
    await window.left.reads("mine yours")
    await window.left.press("Control+z")
    await window.left.reads("yours")
    await window.right.reads("yours")


async def test_people_see_each_other(open_window: OpenWindow) -> None:
    """Names and carets are shown on the other side, oneself first, and a new name arrives."""
    window = await open_window()
    name = await window.left.name.input_value()
    await window.left.type("I am here")
    await expect(window.right.carets).to_have_text([name])
    await expect(window.right.carets.get_by_text(name)).to_have_css("opacity", "1")
    other = await window.right.name.input_value()
    await expect(window.right.people).to_contain_text([f"{other} (you)", name])
    await window.left.name.fill("Ada")
    await expect(window.right.people).to_contain_text([f"{other} (you)", "Ada"])
    await expect(window.right.carets).to_have_text(["Ada"])


async def test_a_caret_stays_at_its_character(open_window: OpenWindow) -> None:
    """What others type before a caret moves it along; what they type at its place does not push it."""
    window = await open_window()
    await window.left.type("end")
    await window.right.reads("end")
    start = await _caret_left(window.right)
    await window.right.press("Control+Home")
    await window.right.press("a")

    async def has_moved() -> bool:
        return await _caret_left(window.right) > start

    await poll(has_moved, PATIENCE_S, "the caret moved along")
    moved = await _caret_left(window.right)
    await window.right.type("!!")
    await window.left.reads("aend!!")
    assert await _caret_left(window.right) == moved


async def test_a_second_window_joins(open_window: OpenWindow, context: BrowserContext) -> None:
    """The link opens the same document, with people of its own."""
    first = await open_window("plans/2027 ä?#%")
    await first.left.type("one")
    async with context.expect_page() as opening:
        await first.page.get_by_role("link", name="Open in a second window").click()
    second = Window(await opening.value)
    await second.left.reads("one")
    await expect(second.left.people).to_have_count(4)
    await second.right.type(" two")
    await first.left.reads("one two")
    await expect(first.left.people).to_have_count(4)
    await second.page.close()
    await expect(first.left.people).to_have_count(2)
    assert second.complaints == []


async def test_presence_of_a_hostile_peer_is_only_text(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    """Markup in a name is shown as it is, a colour that is none is not used, a false caret is not drawn."""
    window = await open_window()
    name = "<img src=x onerror=alert(1)>"
    user = {"id": "x", "name": name, "color": "red; background: url(/x)"}
    state = json.dumps({"user": user, "cursor": {"anchor": {"item": 1}, "head": [9]}})
    async with connect(server.ws_url("welcome")) as peer:
        await peer.send(_awareness_frame(client_id=77, clock=1, state=state.encode()))
        shown = window.left.people.filter(has_text=name)
        await expect(shown).to_have_css("background-color", "rgb(95, 107, 122)")
        await expect(window.left.carets).to_have_count(0)


async def test_a_narrow_screen_needs_no_sideways_scrolling(open_window: OpenWindow) -> None:
    """At 360 pixels the panes are below each other and everything fits, long names and words too."""
    window = await open_window()
    await window.page.set_viewport_size({"width": 360, "height": 740})
    await window.left.name.fill("Wolfeschlegelsteinhausenbergerdorff the Elder")
    await window.left.type("x" * 120 + " ")
    await window.right.reads("x" * 120 + " ")
    await expect(window.right.carets).to_have_count(1)
    widths = "[document.documentElement, ...document.querySelectorAll('.cm-scroller')]"

    async def fits() -> bool:
        overflow = await window.page.evaluate(f"{widths}.map((e) => e.scrollWidth - e.clientWidth)")
        return bool(overflow == [0, 0, 0])

    # A caret is put inside once the editor has been measured.
    await poll(fits, PATIENCE_S, "nothing is wider than the screen")
    left, right = await window.left.root.bounding_box(), await window.right.root.bounding_box()
    assert left is not None
    assert right is not None
    assert right["y"] >= left["y"] + left["height"]


async def _caret_left(pane: Pane) -> float:
    """Return where the only remote caret of a pane is, in pixels."""
    box = await pane.carets.bounding_box()
    assert box is not None
    return box["x"]


def _awareness_frame(*, client_id: int, clock: int, state: bytes) -> bytes:
    """Encode a presence message of one client; ids and clocks below 128 only."""
    size = len(state)
    entry = bytes((1, client_id, clock, size & 127 | 128, size >> 7)) + state
    return bytes((1, len(entry) & 127 | 128, len(entry) >> 7)) + entry
