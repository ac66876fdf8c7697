"""What can be set, and what is said when it cannot work."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from server.settings import Settings, SettingsError, add_options, read_settings
from server.settings_checks import doubts

OTHER = {
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("1234", 1234),
    "data": ("/somewhere/else", Path("/somewhere/else")),
    "redis": ("redis://somewhere:6379", "redis://somewhere:6379"),
    "store": ("memory", "memory"),
    "acknowledge": ("stored", "stored"),
    "worker": ("no", False),
    "synchronous": ("NORMAL", "NORMAL"),
    "allow_origin": (
        "https://A.example/, http://b.example:81",
        ("https://a.example", "http://b.example:81"),
    ),
    "trusted_proxies": ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
    "workers": ("1", 1),
    "max_message_bytes": ("70000", 70_000),
    "receive_budget_bytes": ("134217729", 134_217_729),
    "max_connections": ("7", 7),
    "write_budget_bytes": ("70001", 70_001),
    "slow_client_s": ("2.5", 2.5),
    "log_budget_bytes": ("70000002", 70_000_002),
    "grace_s": ("0", 0.0),
    "sweep_s": ("3", 3.0),
    "log_level": ("debug", "debug"),
}
"""For each option a value as text, and what it means."""


def read(arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Settings:
    parser = ArgumentParser(exit_on_error=False)
    add_options(parser)
    return read_settings(parser.parse_args(arguments), environment or {})


def test_every_option_has_a_case_here() -> None:
    assert list(OTHER) == [option.name for option in fields(Settings)]


@pytest.mark.parametrize("name", OTHER)
def test_every_option_is_read_from_the_command_line_and_from_the_environment(name: str) -> None:
    text, meaning = OTHER[name]
    flag, variable = "--" + name.replace("_", "-"), "COWRITE_" + name.upper()
    assert getattr(read([flag, text]), name) == meaning
    assert getattr(read([], {variable: text}), name) == meaning
    assert getattr(read(), name) == getattr(Settings(), name)


@pytest.mark.parametrize("size", [2**16 - 1, 2**28 + 1])
def test_L7_a_largest_message_beyond_what_fits_together_is_refused(size: int) -> None:
    with pytest.raises(SettingsError, match="--max-message-bytes"):
        read(["--max-message-bytes", str(size)])


def test_T10_the_receive_budget_has_room_for_a_message() -> None:
    assert read(["--max-message-bytes", "70000"]).receive_budget_bytes == 140_000
    with pytest.raises(SettingsError, match="--receive-budget-bytes"):
        read(["--max-message-bytes", "70000", "--receive-budget-bytes", "69999"])


def test_the_command_line_comes_before_the_environment() -> None:
    assert read(["--port", "1"], {"COWRITE_PORT": "2"}).port == 1


def test_other_variables_mean_nothing() -> None:
    assert read([], {"PORT": "1", "COWRITE_OTHER": "x", "cowrite_port": "2"}) == Settings()


WRONG = {
    "--host": ["", "http://127.0.0.1", "127.0.0.1:8000", "[::1]", "a b", "a/b"],
    "--port": ["abc", "", "-1", "65536", "80.5"],
    "--data": ["", "/dev/null", "/dev/null/below"],
    "--redis": ["", "http://127.0.0.1", "127.0.0.1:6379", "redis://h/x", "redis://h:x"],
    "--store": ["postgres", "redis", "mysql://somewhere", "postgresql://h:x/d", "postgresql://h:70000"],
    "--acknowledge": ["streamed", "soon"],
    "--worker": ["perhaps"],
    "--synchronous": ["OFF", "full"],
    "--workers": ["2", "0", "-1", "many", "129"],
    "--max-message-bytes": ["65535", "1e9", "-1", "268435457"],
    "--max-connections": ["0", "-5", "1000001"],
    "--write-budget-bytes": ["0", "65535", "9223372036854775808"],
    "--log-budget-bytes": ["12", "65535", "9223372036854775808"],
    "--slow-client-s": ["-1", "0", "nan", "inf", "soon", "86401"],
    "--grace-s": ["-0.1", "nan", "inf", "1e300"],
    "--sweep-s": ["0", "-1", "nan", "inf"],
    "--allow-origin": ["localhost:5173", "null", "https://a.example,,https://b.example", ","],
    "--trusted-proxies": ["proxy", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.1,", "10.0.0.1:80"],
    "--log-level": ["loud"],
}


@pytest.mark.parametrize(("flag", "text"), [(flag, text) for flag, texts in WRONG.items() for text in texts])
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_source(flag: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read([f"{flag}={text}"])
    assert flag in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError):
        read([], {"COWRITE_" + flag[2:].replace("-", "_").upper(): text})


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="^COWRITE_PORT: cannot read 'x'$"):
        read([], {"COWRITE_PORT": "x"})


def test_several_processes_are_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError, match="--workers: .* need --redis"):
        read(["--workers", "2"])


@pytest.mark.parametrize("store", ["sqlite", "memory"])
def test_a_store_of_one_node_is_refused_for_several(store: str) -> None:
    with pytest.raises(SettingsError, match=f"--store {store}: belongs to one node"):
        read(["--redis", "redis://somewhere", "--store", store])


def test_with_redis_alone_documents_are_kept_there() -> None:
    assert read(["--redis", "redis://somewhere"]).store == "redis"
    assert read(["--redis", "redis://somewhere", "--workers", "2"]).workers == 2
    assert read().store == "sqlite"


def test_an_empty_list_is_none() -> None:
    """As a variable that a container sets and nobody fills."""
    environment = {"COWRITE_ALLOW_ORIGIN": "", "COWRITE_TRUSTED_PROXIES": " "}
    assert read([], environment) == Settings()


ADVICE = {
    "localhost:5173": "write http://localhost:5173 or https://localhost:5173",
    "page.example": "write http://page.example or https://page.example",
    "https://page.example/wiki": "is more than an origin: write https://page.example$",
    "https://page.example?": "is more than an origin: write https://page.example$",
    "wss://page.example/ws": "write where the page comes from, https://page.example$",
    "null": "only \\* lets them in",
    "file:///home/page.html": "only \\* lets them in",
    "https://a.example, ,https://b.example": "an item is empty",
    "https://a.example,*": "\\* lets everybody in: write it alone",
    "*.example.org": "has no scheme: write http://\\*.example.org or https://\\*.example.org",
    "https://*": "a \\* stands alone or for what is before a name",
    "https://a.*.example.org": "a \\* stands alone or for what is before a name",
    "https://*.*.example.org": "a \\* stands alone or for what is before a name",
    "https://*.10.0.0.1": "a \\* stands alone or for what is before a name",
    "http://localhost:*": "a \\* stands alone or for what is before a name",
    "https://münchen.example": "write the host in ASCII",
    "https://user@page.example": "is no origin: write scheme, host",
    "https://page.example:99999": "is no origin: write scheme, host",
    "https://[::1": "is no origin: write scheme, host",
}


@pytest.mark.parametrize("text", ADVICE)
def test_L2_an_origin_that_no_page_has_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(SettingsError, match=ADVICE[text]):
        read([f"--allow-origin={text}"])


def test_a_receive_budget_below_a_message_is_refused() -> None:
    budgets = ["--receive-budget-bytes", "70000", "--max-message-bytes"]
    assert read([*budgets, "70000"]).receive_budget_bytes == 70_000
    with pytest.raises(SettingsError, match="--receive-budget-bytes: at least --max-message-bytes"):
        read([*budgets, "70001"])


@pytest.mark.parametrize(
    "other",
    [["--store", "memory"], ["--redis", "redis://h"], ["--redis", "redis://h", "--store", "postgresql://h"]],
)
def test_an_option_of_sqlite_is_refused_for_other_stores(other: list[str]) -> None:
    assert read([*other, "--synchronous", "FULL"]).synchronous == "FULL"
    with pytest.raises(SettingsError, match="--synchronous: is for --store sqlite"):
        read([*other, "--synchronous", "NORMAL"])


def test_a_password_is_in_no_sentence() -> None:
    with pytest.raises(SettingsError) as caught:
        read(["--store", "postgresql://me:s3cret@h:x/d"])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://h/d", "postgres:///d", "postgresql://h:1,i:2/d", "postgresql://[::1]:1"]
)
def test_urls_of_postgres(url: str) -> None:
    assert read(["--store", url]).is_on_postgres


def test_a_folder_that_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    assert read(["--data", str(tmp_path / "a" / "b")]).data == tmp_path / "a" / "b"
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"--data: .*file is no folder"):
        read(["--data", str(tmp_path / "file" / "below")])


@pytest.mark.parametrize("host", ["::1", "::", "0.0.0.0", "localhost", "fe80::1%eth0", "a-b.example"])
def test_hosts_to_listen_on(host: str) -> None:
    assert read(["--host", host]).host == host


def test_a_node_that_leaves_all_logs_to_nobody_is_doubted() -> None:
    assert [doubt[:11] for doubt in doubts(read(["--worker", "no"]))] == ["--worker no"]
    assert not [*doubts(read(["--worker", "no", "--redis", "redis://h"])), *doubts(read())]
