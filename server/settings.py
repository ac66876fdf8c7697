"""Everything that can be set, read once: the command line, then ``COWRITE_*``, then the default."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from crdt.errors import CowriteError
from crdt.limits import MESSAGE_BYTES, MESSAGE_MAX_BYTES, MESSAGE_MIN_BYTES
from server.callers import BadNetwork, parse_networks
from server.origins import BadOrigin, parse_origins
from server.settings_checks import objections

__all__ = ["Settings", "SettingsError", "add_options", "read_settings"]

T = TypeVar("T")


class SettingsError(CowriteError):
    """A setting that cannot work, in a sentence for the operator."""


DAY_S = 86_400.0


def _data(text: str) -> Path:
    if not text:
        raise ValueError(text)
    return Path(text)


def _truth(text: str) -> bool:
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def _option(
    default: T,
    help_text: str,
    parse: Callable[[str], object],
    *choices: str,
    within: tuple[float, float] | None = None,
) -> T:
    metadata = {"help": help_text, "parse": parse, "choices": choices, "within": within}
    value: T = field(default=default, metadata=metadata)
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """One value for each option; sizes in bytes, times in seconds."""

    host: str = _option("127.0.0.1", "address to listen on", str)
    port: int = _option(8000, "port to listen on; 0 for any free one", int, within=(0, 65_535))
    data: Path = _option(Path("data"), "folder that holds the documents; one server at a time", _data)
    redis: str | None = _option(None, "bus between several nodes: redis://... or a cluster's node", str)
    store: str = _option(
        "",
        "sqlite (in the data folder), postgresql://..., redis (the bus itself) or memory (gone at exit)",
        str,
    )
    acknowledge: str = _option(
        "stored",
        "stored: an edit is acknowledged when the store has it; streamed: when Redis has it",
        str,
        "stored",
        "streamed",
    )
    worker: bool = _option(True, "whether this node folds logs into snapshots", _truth)
    synchronous: Literal["FULL", "NORMAL"] = _option(
        "FULL", "FULL survives a power cut, NORMAL only a killed process", str, "FULL", "NORMAL"
    )
    allow_origin: tuple[str, ...] = _option(
        (),
        "origins besides the server's own whose pages may connect; comma-separated, https://*.example.org "
        "for all below a name, * for all",
        parse_origins,
    )
    trusted_proxies: tuple[str, ...] = _option(
        (),
        "addresses and networks of proxies whose X-Forwarded-For, -Host and -Proto count; comma-separated",
        parse_networks,
    )
    workers: int = _option(1, "processes that share the port", int, within=(1, 128))
    max_message_bytes: int = _option(
        MESSAGE_BYTES,
        "the largest message taken from a client; a document has at most half of it",
        int,
        within=(MESSAGE_MIN_BYTES, MESSAGE_MAX_BYTES),
    )
    receive_budget_bytes: int = _option(
        0,
        "memory for large messages under way from all clients (0: twice the largest message)",
        int,
        within=(0, 2**40),
    )
    max_connections: int = _option(
        20_000, "connections served at once; more are closed with 1013", int, within=(1, 10**6)
    )
    write_budget_bytes: int = _option(
        2**20,
        "what may wait for one client before it is skipped until it has caught up",
        int,
        within=(2**16, 2**30),
    )
    slow_client_s: float = _option(
        30.0, "a client that takes nothing for so long is closed with 1013", float, within=(0.1, DAY_S)
    )
    log_budget_bytes: int = _option(
        64 * 2**20,
        "accepted but not yet durable; beyond it clients that write are not read",
        int,
        within=(2**16, 2**40),
    )
    grace_s: float = _option(
        10.0, "how long a document stays in memory after the last client left", float, within=(0, DAY_S)
    )
    sweep_s: float = _option(60.0, "how often what nobody folded is looked for", float, within=(0.01, DAY_S))
    log_level: str = _option(
        "info", "debug, info, warning or error", str, "debug", "info", "warning", "error"
    )

    def __post_init__(self) -> None:
        if not self.store:
            object.__setattr__(self, "store", "sqlite" if self.redis is None else "redis")
        if not self.receive_budget_bytes:
            object.__setattr__(self, "receive_budget_bytes", 2 * self.max_message_bytes)
        for option in fields(self):
            within = option.metadata["within"]
            # Not a number is within nothing.
            if within is not None and not within[0] <= getattr(self, option.name) <= within[1]:
                raise SettingsError(f"{_flag(option)}: must be from {within[0]:.15g} to {within[1]:.15g}")
        for objection in objections(self):
            raise SettingsError(objection)

    @property
    def is_on_postgres(self) -> bool:
        """Whether documents are kept in Postgres, at the URL that is ``store``."""
        return self.store.startswith(("postgres://", "postgresql://"))

    @property
    def place(self) -> str:
        """Where documents are kept, without a password."""
        if self.is_on_postgres:
            return "Postgres"
        if self.store == "memory":
            return "memory, gone at exit"
        return str(self.data.resolve()) if self.store == "sqlite" else "Redis"


def add_options(parser: ArgumentParser, *names: str) -> None:
    """Add the options ``names`` (all, when none is named) to ``parser``."""
    for option in fields(Settings):
        if names and option.name not in names:
            continue
        parser.add_argument(
            _flag(option),
            dest=option.name,
            metavar=option.name.rpartition("_")[2].upper(),
            help=f"{option.metadata['help']} (default {_shown(option)}, environment {_variable(option)})",
        )


def read_settings(arguments: Namespace, environment: Mapping[str, str]) -> Settings:
    """Build the settings; raises ``SettingsError`` for a value that cannot be read or cannot work."""
    values: dict[str, Any] = {}
    for option in fields(Settings):
        text = getattr(arguments, option.name, None)
        source = _flag(option)
        if text is None:
            text = environment.get(_variable(option))
            source = _variable(option)
        if text is not None:
            values[option.name] = _parse(option, text, source)
    return Settings(**values)


def _parse(option: "Field[object]", text: str, source: str) -> object:
    choices = option.metadata["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{source}: must be one of {', '.join(choices)}")
    try:
        return option.metadata["parse"](text)
    except (BadNetwork, BadOrigin) as error:
        raise SettingsError(f"{source}: {error}") from None
    except ValueError as error:
        raise SettingsError(f"{source}: cannot read {text!r}") from error


def _flag(option: "Field[object]") -> str:
    return "--" + option.name.replace("_", "-")


def _variable(option: "Field[object]") -> str:
    return "COWRITE_" + option.name.upper()


def _shown(option: "Field[object]") -> str:
    assert option.default is not MISSING
    return "none" if option.default == () else str(option.default)
