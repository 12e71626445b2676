"""Values that a field may not have, and text that it may, for all tests of the codecs."""

from typing import Any

NOT_TEXT: tuple[Any, ...] = (1, 1.5, True, [], ["a"], {}, {"a": 1})
NOT_INTEGER: tuple[Any, ...] = (None, "12", 12.0, 1e2, True, False, [], {}, [12])
BAD_TEXT: tuple[tuple[str, str], ...] = (
    ("", "blank"),
    (" ", "blank"),
    ("\u2003\u00a0", "blank"),
    ("\u3000" * 5, "blank"),
    ("a\x00b", "control character"),
    ("a\nb", "control character"),
    ("tab\t", "control character"),
    ("\x7f", "control character"),
    ("a\x85", "control character"),
    ("a\x9f", "control character"),
    ("a\ud800b", "lone surrogate"),
    ("\udfff", "lone surrogate"),
)
GOOD_TEXT = (
    "a",
    "two words",
    " spaces around ",
    "Zoë",
    "用户",
    "👩‍👩‍👧",
    "\U0001f600",
    "e\u0301",
    "a\u200db",
    "\u202eabc",
    '"quoted\\"',
)
