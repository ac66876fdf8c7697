"""What has to hold when every fault is healed: one text everywhere, with all that was acknowledged."""

from collections.abc import Sequence

from tests.support.ledger import Author, Ledger
from tests.support.polling import PATIENCE_S, poll
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess

__all__ = ["check_agreement"]


async def check_agreement(
    authors: Sequence[Author], nodes: Sequence[ServerProcess], document: str, ledger: Ledger
) -> None:
    """Fail unless all authors and a fresh client of every node have one text, which keeps all promises."""
    for author in authors:
        assert await author.acknowledge(PATIENCE_S), f"{author.client.name} is not acknowledged"
    texts: dict[str, str] = {}

    async def all_agree() -> bool:
        texts.update({author.client.name: await author.client.text() for author in authors})
        for node in nodes:
            async with RawClient.open(node.ws_url(document)) as fresh:
                texts[node.http_url] = fresh.text
        return len(set(texts.values())) == 1

    try:
        await poll(all_agree, PATIENCE_S, "all have one text")
    finally:
        print({name: len(text) for name, text in texts.items()})
    ledger.check(texts[authors[0].client.name])
