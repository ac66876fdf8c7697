"""What can be set, and what is said when it cannot work."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from server.settings import Settings, SettingsError, add_options, read_settings

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
        "https://a.example/, http://b.example:81",
        ("https://a.example", "http://b.example:81"),
    ),
    "workers": ("1", 1),
    "max_message_bytes": ("70000", 70_000),
    "receive_budget_bytes": ("134217729", 134_217_729),
    "max_connections": ("7", 7),
    "write_budget_bytes": ("70001", 70_001),
    "slow_client_s": ("2.5", 2.5),
    "log_budget_bytes": ("70002", 70_002),
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
    "--port": ["abc", "", "-1", "65536", "80.5"],
    "--redis": ["", "http://127.0.0.1", "127.0.0.1:6379", "redis://h/x", "redis://h:x"],
    "--store": ["postgres", "redis", "mysql://somewhere"],
    "--acknowledge": ["streamed", "soon"],
    "--worker": ["perhaps"],
    "--synchronous": ["OFF", "full"],
    "--workers": ["2", "0", "-1", "many"],
    "--max-message-bytes": ["65535", "1e9"],
    "--max-connections": ["0", "-5"],
    "--write-budget-bytes": ["0"],
    "--log-budget-bytes": ["12"],
    "--slow-client-s": ["-1", "nan", "inf", "soon"],
    "--grace-s": ["-0.1", "nan"],
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


def test_origins_are_a_list_without_empty_ones() -> None:
    assert read(["--allow-origin", " , https://a.example/ ,,*"]).allow_origin == ("https://a.example", "*")
