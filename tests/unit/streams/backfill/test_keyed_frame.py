"""A keyed frame keeps its key and its bytes; the Java side is tested in tests/e2e."""

from hypothesis import given
from hypothesis import strategies as st

from streams.backfill.keyed_frame import NO_KEY, encode_keyed


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=128), st.binary(max_size=64))
def test_key_and_frame_are_found_where_the_layout_says(key: str, frame: bytes) -> None:
    keyed = encode_keyed(key, frame)
    at = 2 + int.from_bytes(keyed[:2], "big")
    assert keyed[2:at].decode() == key
    assert keyed[at:] == frame
    assert keyed.startswith(NO_KEY) == (key == "")
