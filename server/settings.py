"""Everything that can be set, read once: the command line, then ``COWRITE_*``, then the default."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from crdt.errors import CowriteError
from crdt.limits import MESSAGE_BYTES, MESSAGE_MAX_BYTES, MESSAGE_MIN_BYTES
from server.bus.redis_url import RedisUrl

__all__ = ["Settings", "SettingsError", "add_options", "read_settings"]

T = TypeVar("T")


class SettingsError(CowriteError):
    """A setting that cannot work, in a sentence for the operator."""


def _origins(text: str) -> tuple[str, ...]:
    return tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())


def _truth(text: str) -> bool:
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def _check_redis(url: str) -> None:
    try:
        RedisUrl.parse(url)
    except ValueError as error:
        raise SettingsError(f"--redis: {error}") from None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _option(default: T, help_text: str, parse: Callable[[str], object], *choices: str) -> T:
    value: T = field(default=default, metadata={"help": help_text, "parse": parse, "choices": choices})
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """One value for each option; sizes in bytes, times in seconds."""

    host: str = _option("127.0.0.1", "address to listen on", str)
    port: int = _option(8000, "port to listen on", int)
    data: Path = _option(Path("data"), "folder that holds the documents; one server at a time", Path)
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
        (), "origins besides the server's own whose pages may connect; comma-separated, * for all", _origins
    )
    workers: int = _option(1, "processes that share the port", int)
    max_message_bytes: int = _option(
        MESSAGE_BYTES, "the largest message taken from a client; a document has at most half of it", int
    )
    receive_budget_bytes: int = _option(
        0, "memory for large messages under way from all clients (0: twice the largest message)", int
    )
    max_connections: int = _option(20_000, "connections served at once; more are closed with 1013", int)
    write_budget_bytes: int = _option(
        2**20, "what may wait for one client before it is skipped until it has caught up", int
    )
    slow_client_s: float = _option(
        30.0, "a client that takes nothing for so long is closed with 1013", _seconds
    )
    log_budget_bytes: int = _option(
        64 * 2**20, "accepted but not yet durable; beyond it clients that write are not read", int
    )
    grace_s: float = _option(10.0, "how long a document stays in memory after the last client left", _seconds)
    sweep_s: float = _option(60.0, "how often what nobody folded is looked for", _seconds)
    log_level: str = _option(
        "info", "debug, info, warning or error", str, "debug", "info", "warning", "error"
    )

    def __post_init__(self) -> None:
        if not self.store:
            object.__setattr__(self, "store", "sqlite" if self.redis is None else "redis")
        if self.store not in ("sqlite", "memory", "redis") and not self.is_on_postgres:
            raise SettingsError("--store: must be sqlite, memory, redis or postgresql://...")
        if self.redis is not None:
            _check_redis(self.redis)
        if self.workers < 1:
            raise SettingsError("--workers: at least 1")
        if self.redis is None and self.workers > 1:
            raise SettingsError(
                "--workers: several processes need --redis, for an edit that reaches one process must reach "
                "the clients of the others"
            )
        if self.redis is None and (self.store == "redis" or self.acknowledge == "streamed"):
            raise SettingsError("--store redis and --acknowledge streamed need --redis")
        if self.redis is not None and self.store in ("sqlite", "memory"):
            raise SettingsError(
                f"--store {self.store}: belongs to one node; with --redis use postgresql:// or redis"
            )
        if not 0 <= self.port < 65_536:
            raise SettingsError("--port: must be from 0 to 65535")
        if not MESSAGE_MIN_BYTES <= self.max_message_bytes <= MESSAGE_MAX_BYTES:
            raise SettingsError(f"--max-message-bytes: from {MESSAGE_MIN_BYTES} to {MESSAGE_MAX_BYTES}")
        if not self.receive_budget_bytes:
            object.__setattr__(self, "receive_budget_bytes", 2 * self.max_message_bytes)
        if self.receive_budget_bytes < self.max_message_bytes:
            raise SettingsError("--receive-budget-bytes: at least --max-message-bytes")
        if self.max_connections < 1:
            raise SettingsError("--max-connections: at least 1")
        if min(self.write_budget_bytes, self.log_budget_bytes) < 2**16:
            raise SettingsError("--write-budget-bytes, --log-budget-bytes: at least 65536")

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
    except ValueError as error:
        raise SettingsError(f"{source}: cannot read {text!r}") from error


def _flag(option: "Field[object]") -> str:
    return "--" + option.name.replace("_", "-")


def _variable(option: "Field[object]") -> str:
    return "COWRITE_" + option.name.upper()


def _shown(option: "Field[object]") -> str:
    assert option.default is not MISSING
    return "none" if option.default == () else str(option.default)
