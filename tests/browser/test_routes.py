"""How the page is served; no browser needed."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from server import page


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Ask an app of these routes whose page is in ``tmp_path``."""
    monkeypatch.setattr(page, "PAGE", tmp_path)
    transport = httpx.ASGITransport(app=Starlette(routes=page.page_routes()))
    return httpx.AsyncClient(transport=transport, base_url="http://page")


async def test_a_checkout_without_a_page_says_how_to_build_it(client: httpx.AsyncClient) -> None:
    """A fresh checkout answers with a sentence, not with a stack trace."""
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "make page" in answer.text
    assert (await client.get("/assets/main.js")).status_code == 404


async def test_an_installed_server_without_its_page_says_how_to_install_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is nothing to build from, nobody is told to build."""
    monkeypatch.setattr(page, "SOURCES", tmp_path / "frontend-demo" / "package.json")
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "pip install" in answer.text
    assert "make" not in answer.text


async def test_the_index_is_checked_and_assets_are_kept(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """A new build is seen at the next reload; what carries its hash in its name is asked for once."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "assets" / "main-1a2b.js").write_text("export {};")
    index, asset = await client.get("/"), await client.get("/assets/main-1a2b.js")
    assert index.text == "<!doctype html>"
    assert index.headers["Cache-Control"] == "no-cache"
    assert asset.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in asset.headers["Cache-Control"]


async def test_scripts_of_others_are_refused(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Every answer with content carries the policy, and scripts come from here only."""
    (tmp_path / "index.html").write_text("<!doctype html>")
    answer = await client.get("/")
    assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "name", ["..%2Fsecret", "..%5Csecret", "../secret", "%2Fetc%2Fpasswd", "%00", ".", ""]
)
async def test_nothing_outside_of_the_assets_is_served(
    client: httpx.AsyncClient, tmp_path: Path, name: str
) -> None:
    """No spelling of a parent folder leads out of the folder."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "secret").write_text("secret")
    assert (await client.get(f"/assets/{name}")).status_code == 404
