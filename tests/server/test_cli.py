"""The command line as an operator meets it: what it prints, and how it ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from crdt.errors import CloseCode
from server.settings import Settings
from server.storage import Entry
from server.storage.sqlite import SqliteStore
from tests.crdt.build import section, text, update
from tests.server.support import Peer
from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.server_process import COWRITE, ServerProcess


def cowrite(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [*COWRITE, *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@contextlib.contextmanager
def running(log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the command until the context ends."""
    with log.open("wb") as output:
        process = subprocess.Popen([*COWRITE, *arguments], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--workers", "2"],
        ["serve", "--port", "x"],
        ["serve", "--store", "x"],
        ["compact", "--log-level", "x"],
        ["worker", "--store", "postgresql://127.0.0.1:1/cowrite"],
    ],
)
def test_a_wrong_value_ends_with_2_and_one_sentence(arguments: list[str]) -> None:
    ended = cowrite(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"cowrite: --[a-z-]+: [^\n]+\n", ended.stderr)


def test_a_wrong_variable_ends_with_2_and_one_sentence() -> None:
    ended = cowrite("serve", environment={"COWRITE_GRACE_S": "soon"})
    assert (ended.returncode, ended.stderr) == (2, "cowrite: COWRITE_GRACE_S: cannot read 'soon'\n")


def test_help_names_every_option_with_its_variable() -> None:
    shown = cowrite("serve", "--help").stdout
    words = shown.split()
    flags = re.findall(r"^  --([a-z-]+)", shown, re.MULTILINE)
    assert len(flags) == len(fields(Settings))
    for flag in flags:
        assert f"COWRITE_{flag.replace('-', '_').upper()})" in words


def test_port_0_is_any_free_port_and_the_log_says_which(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(log, "serve", "--port", "0", "--data", str(tmp_path / "data")):
        poll_blocking(lambda: "serving on" in log.read_text(), PATIENCE_S, "serving")
        (port,) = re.findall(r"serving on http://127\.0\.0\.1:(\d+)$", log.read_text(), re.MULTILINE)
        with socket.create_connection(("127.0.0.1", int(port))) as probe:
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert probe.recv(100).startswith(b"HTTP/1.1 200")
    assert "WARNING" not in log.read_text()


def test_a_second_server_on_one_folder_ends_with_1_and_one_line(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as first:
        ended = cowrite("serve", "--port", "0", "--data", str(first.data))
        assert ended.returncode == 1
        expected = f"cowrite: the data folder {first.data} is in use by another server (pid {first.pid})\n"
        assert ended.stderr == expected


def test_a_port_in_use_ends_with_1_and_one_line_that_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cowrite("serve", "--port", str(port), "--data", str(tmp_path / "data"))
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if " INFO " not in line]
    assert len(errors) == 1
    assert "address already in use" in errors[0]
    assert "serving on" not in ended.stderr


def test_a_file_as_the_folder_ends_with_2_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = cowrite("serve", "--port", "0", "--data", str(tmp_path / "file"))
    assert ended.returncode == 2
    assert re.fullmatch(r"cowrite: --data: [^\n]+ is no folder[^\n]+\n", ended.stderr)


def test_a_file_that_is_no_database_ends_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "cowrite.db").write_bytes(b"not a database " * 1_000)
    ended = cowrite("serve", "--port", "0", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert re.fullmatch(r"cowrite: [^\n]+\n", ended.stderr)


def test_a_public_address_warns_loudly(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(
        log, "serve", "--host", "0.0.0.0", "--port", "0", "--store", "memory", "--data", str(tmp_path)
    ):
        poll_blocking(lambda: "serving on" in log.read_text(), PATIENCE_S, "serving")
    (warning,) = [line for line in log.read_text().splitlines() if " WARNING " in line]
    assert "listening on 0.0.0.0: anybody who reaches it can read and edit everything" in warning


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_both_ways_to_stop_end_with_0(tmp_path: Path, stop: signal.Signals) -> None:
    log = tmp_path / "log"
    with running(log, "serve", "--port", "0", "--data", str(tmp_path / "data")) as process:
        poll_blocking(lambda: "serving on" in log.read_text(), PATIENCE_S, "serving")
        process.send_signal(stop)
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.read_text()


def test_D10_who_is_hurried_does_not_say_that_all_was_stored(tmp_path: Path) -> None:
    """A second Ctrl-C ends the server at once, while it waits for a client that does not answer."""
    request = ["GET /ws/d HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade"]
    request += [f"Sec-WebSocket-Key: {'A' * 22}==", "Sec-WebSocket-Version: 13", "", ""]
    with (
        ServerProcess(tmp_path / "data") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as client,
    ):
        client.sendall("\r\n".join(request).encode())
        _receive_until(client, b"101 Switching Protocols")
        os.kill(server.pid, signal.SIGINT)
        _receive_until(client, CloseCode.RESTART.phrase.encode())
        os.kill(server.pid, signal.SIGINT)
        assert server.stop() == 1


def _receive_until(client: socket.socket, words: bytes) -> None:
    received = b""
    while words not in received:
        piece = client.recv(4_096)
        assert piece, f"the server has closed without {words!r}"
        received += piece


async def put(folder: Path, document: str, *updates: bytes) -> None:
    """Store a log as a server would leave it."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with SqliteStore.open(folder) as store:
        await store.append([Entry(document, index, content) for index, content in enumerate(updates, 1)])


async def test_compact_folds_every_log_and_says_how_many(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b"):
        await put(data, name, update(section(1, 0, text("one "))), update(section(2, 0, text("two"))))
    ended = await asyncio.to_thread(cowrite, "compact", "--data", str(data))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "folded 2 of 2 documents\n", "")
    async with SqliteStore.open(data) as store:
        stored = await store.load("a")
        assert stored.snapshot is not None and not stored.entries
        assert sorted(Peer.text_of([stored.snapshot.update]).split()) == ["one", "two"]
    again = await asyncio.to_thread(cowrite, "compact", "--data", str(data))
    assert (again.returncode, again.stdout) == (0, "folded 0 of 0 documents\n")


async def test_compact_ends_with_1_when_it_refused_something(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await put(data, "good", update(section(1, 0, text("fine"))))
    await put(data, "bad", update(section(1, 5, text("waits for what is lost"))))
    ended = await asyncio.to_thread(cowrite, "compact", "--data", str(data))
    assert (ended.returncode, ended.stdout) == (1, "folded 1 of 2 documents\n")
    (line,) = ended.stderr.splitlines()
    assert "compaction refused, the log stays" in line
    assert "document='bad'" in line


def test_compact_beside_a_server_is_refused(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        ended = cowrite("compact", "--data", str(server.data))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "is in use by another server" in ended.stderr


def test_compact_of_a_folder_without_documents_is_a_mistake(tmp_path: Path) -> None:
    ended = cowrite("compact", "--data", str(tmp_path / "typo"))
    assert (ended.returncode, ended.stderr) == (1, f"cowrite: {tmp_path / 'typo'} holds no documents\n")
    assert not (tmp_path / "typo").exists()


def test_compact_is_for_a_data_folder(tmp_path: Path) -> None:
    """Beside nodes that run, it could pass over what only a stream has yet."""
    shared = {"COWRITE_STORE": "postgresql://127.0.0.1:1/cowrite", "COWRITE_REDIS": "redis://127.0.0.1:1"}
    ended = cowrite("compact", "--data", str(tmp_path), environment=shared)
    assert ended.returncode == 1
    assert ended.stderr.startswith("cowrite: compact is for a data folder")
