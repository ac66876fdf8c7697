"""What things are called in Redis."""

import pytest

from server.bus.redis_keys import RedisKeys, document_of


@pytest.mark.parametrize("document", ["a", "", "a:b", "{a}", "a%2Fb", "文書"])
def test_all_names_of_a_document_share_its_slot(document: str) -> None:
    keys = RedisKeys(0)
    of = keys.of(document)
    slot, claim = keys.claim(f"fold:{document}")
    assert slot == of.slot
    assert {document_of(key) for key in (of.stream, of.bell, of.presence, claim)} == {document}
