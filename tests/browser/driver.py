"""The demo page as a person sees and uses it, in a real browser."""

from re import Pattern

from playwright.async_api import ConsoleMessage, Error, Locator, Page, expect

__all__ = ["LIMIT_MS", "Pane", "Window"]

LIMIT_MS = 25_000.0
"""How long anything that a person waits for may take here. It is bounded by what a page does by itself: after
30 s without a sign it connects anew, and forgets people."""

READ_WHAT_IS_KEPT = """async () => {
  const done = request => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  for (const { name } of await indexedDB.databases()) {
    const database = await done(indexedDB.open(name))
    const stores = [...database.objectStoreNames]
    if (stores.length > 0) await done(database.transaction(stores).objectStore(stores[0]).count())
    database.close()
  }
}"""


class Pane:
    """One side of the page."""

    def __init__(self, page: Page, label: str) -> None:
        self._page = page
        self.root = page.get_by_role("region", name=label)
        self.text = self.root.get_by_role("textbox", name=f"{label}: the document")
        self.name = self.root.get_by_label("Your name")
        self.people = self.root.get_by_role("list", name="People here").get_by_role("listitem")
        self.carets: Locator = self.root.locator(".caret")
        self.banner = self.root.locator(".banner")
        self.notices = self.root.get_by_role("list", name="Notices").get_by_role("listitem")
        self._online = self.root.get_by_role("switch", name="Online")

    async def type(self, text: str) -> None:
        """Type at the end of the document, key by key."""
        await self.text.click()
        await self._page.keyboard.press("Control+End")
        await self._page.keyboard.type(text)

    async def press(self, keys: str) -> None:
        """Press a key or a combination in the editor."""
        await self.text.press(keys)

    async def set_online(self, *, is_online: bool) -> None:
        """Use the switch."""
        await self._online.set_checked(is_online)

    async def reads(self, *lines: str) -> None:
        """Wait until the document is exactly these lines."""
        await expect(self.text.locator(".cm-line")).to_have_text(list(lines))

    async def shows(self, text: str | Pattern[str]) -> None:
        """Wait until status or saved state is exactly this."""
        shown = self.root.locator(".pane-foot").get_by_text(text, exact=True)
        await expect(shown).to_be_visible(timeout=LIMIT_MS)

    async def is_live_and_saved(self) -> None:
        """Wait until the pane is connected and everything in it is on the server's disk."""
        await self.shows("Live")
        await self.shows("Saved")


class Window:
    """One window of the page, with everything that its console complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.left = Pane(page, "Left side")
        self.right = Pane(page, "Right side")
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", self._listen_error)

    async def open(self, url: str) -> "Window":
        """Open the page and wait until both sides are live."""
        await self.page.goto(url)
        await self.left.is_live_and_saved()
        await self.right.is_live_and_saved()
        return self

    async def is_kept(self) -> None:
        """Wait until the device has all that was typed: a reading waits for what is being written."""
        await self.page.evaluate(READ_WHAT_IS_KEPT)

    def _listen(self, message: ConsoleMessage) -> None:
        # The browser itself reports every failed attempt to reconnect, and no page can prevent it.
        if message.type in ("error", "warning") and not message.text.startswith("WebSocket connection to"):
            self.complaints.append(message.text)

    def _listen_error(self, error: Error) -> None:
        self.complaints.append(str(error))
