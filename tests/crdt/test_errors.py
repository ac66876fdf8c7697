"""The one table of close codes (rule C1)."""

from crdt.errors import CloseCode, Malformed, ProtocolError, TooLarge


def test_C1_every_close_code_has_a_phrase_that_fits_into_a_close_frame() -> None:
    phrases = [code.phrase for code in CloseCode]
    assert len(set(phrases)) == len(phrases)
    assert all(0 < len(phrase.encode()) <= 123 for phrase in phrases)


def test_C1_only_codes_that_make_no_sense_to_repeat_are_final() -> None:
    """From 4400 to 4499 stock clients stop for good."""
    final = {code for code in CloseCode if 4400 <= code < 4500}
    assert {code.name for code in CloseCode} - {code.name for code in final} == {
        "FAILURE",
        "RESTART",
        "OVERLOADED",
        "UNREADABLE",
    }


def test_C1_what_a_peer_does_wrong_has_its_code() -> None:
    assert (ProtocolError.code, Malformed.code, TooLarge.code) == (4400, 4400, 4413)
