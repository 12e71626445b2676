"""References in prose that lead nowhere.

A rule is a function from a text to what it names and what is not there; its docstring says what to
write instead. `names.py` knows what there is. Called by `test_references.py` alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.house import names, texts
from tests.house.pages import ROOMS, without_fences
from tests.house.texts import Text

Rule = Callable[[Text], Iterator[str]]

FOREIGN_WORDS = {
    "civil_from_days": "an algorithm for calendars",
    "CreateTime": "a timestamp type of Kafka's",
    "ReportBatchItemFailures": "a setting of AWS Lambda's",
    "schedstat": "a file of the Linux kernel's",
    "LogAppendTime": "a timestamp type of Kafka's",
    "__aiter__": "a method of Python's",
    "TimeWindow": "a class of Flink's",
    "TimeoutException": "an exception of Kafka's console consumer",
    "decode_responses": "an option of Redis' client",
    "key_by": "a method of Flink's",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "a variable of OpenTelemetry's",
    "retries_max": "an example of a name in CONTRIBUTING.md",
    "vN": "the folder of a release, N being its number",
}
"""Names in backticks that our code does not have, with what they are."""

_ROOM = "|".join(ROOMS)
_PATH = re.compile(rf"(?<![\w./~-])(?:{_ROOM}|tests|docs|requirements)/[\w./*<>{{}}$%-]*")
_FILE = re.compile(r"(?<![\w./*<>-])[A-Za-z]\w*\.(?:py|java|md|toml|yaml|xml|html|sh)(?![\w.(])")
_DOTTED = re.compile(rf"(?<![\w./(-])(?:{_ROOM})(?:\.[A-Za-z_]\w*)+")
_SPAN = re.compile(r"``([^`\n]+)``|(?<!`)`([^`\n]+)`(?!`)|\{@(?:code|link) ([^}\n]+)\}")
_NAME = re.compile(r"[A-Za-z_]\w*(?:[.#][A-Za-z_]\w*)*")
_PLACEHOLDER = re.compile(r"[*<>{}$%]|\bvN\b")
_FILE_ENDING = re.compile(r"\.(?:py|java|md|toml|yaml|json|xml|html|sh|lua|sql)$")
_UNIT = re.compile(r"_[a-z]{1,3}")
_DECISION = re.compile(r"\bADRs?[\s-]+(\d+)|\bdocs/adr/(\d+)")
_DRAFT = re.compile(r"\bDESIGN(?:\.md)?(?: D\d+)?\b")


def paths(text: Text) -> Iterator[str]:
    """Write the path of a file or folder as it is now."""
    for found in _PATH.finditer(text.text):
        path = found[0].rstrip(".-")
        is_other_rule = _PLACEHOLDER.search(path) or _DECISION.match(path)
        if not is_other_rule and not (texts.REPO / path).exists():
            yield path


def file_names(text: Text) -> Iterator[str]:
    """Write the name of a file that is in the repository."""
    yield from (f[0] for f in _FILE.finditer(text.text) if f[0] not in names.file_names())


def dotted_names(text: Text) -> Iterator[str]:
    """Write the dotted name of a module, or of a thing in it, as it is now."""
    for found in _DOTTED.finditer(text.text):
        if not _FILE_ENDING.search(found[0]) and not names.resolves(found[0]):
            yield found[0]


def members(text: Text) -> Iterator[str]:
    """Write a member that the class or the module has."""
    for name in names_in(text):
        owner, _, rest = name.replace("#", ".").partition(".")
        member = rest.partition(".")[0]
        if not member or owner in ROOMS or _FILE_ENDING.search(name):
            continue
        if not names.has_member(owner, member) or not _module_has(owner, member):
            yield name


def words(text: Text) -> Iterator[str]:
    """Put only names of the code in backticks; what other projects call so is in a list."""
    is_of_tests = text.path.startswith("tests/")
    known = names.words(with_strings_of_tests=is_of_tests)
    beginnings = names.beginnings(with_strings_of_tests=is_of_tests)
    for name in names_in(text):
        if not _FILE_ENDING.search(name) and not _UNIT.fullmatch(name):
            parts = re.split(r"[.#]", name)
            unknown = (part for part in parts if part not in known and part not in FOREIGN_WORDS)
            yield from (part for part in unknown if not part.startswith(beginnings))


def decisions(text: Text) -> Iterator[str]:
    """Cite the number of a decision record in docs/adr."""
    for found in _DECISION.finditer(text.text):
        if (found[1] or found[2]) not in names.decision_numbers():
            yield found[0]


def drafts(text: Text) -> Iterator[str]:
    """Cite a decision record or a page; the draft of the design is not in the repository."""
    yield from (found[0] for found in _DRAFT.finditer(text.text))


RULES: tuple[Rule, ...] = (paths, file_names, dotted_names, members, words, decisions, drafts)


def names_in(text: Text) -> Iterator[str]:
    """Give each name in backticks or Java's ``{@code}``, a call without its arguments."""
    prose = without_fences(text.text) if text.path.endswith(".md") else text.text
    for found in _SPAN.finditer(prose):
        span = (found[1] or found[2] or found[3]).strip()
        called = re.sub(r"\(.*\)$", "", span)
        if _NAME.fullmatch(called):
            yield called


def _module_has(stem: str, member: str) -> bool:
    """Say whether a module of this name has the member; True if no module has this name.

    A variable may be called like a module, so a member of any object counts as well.
    """
    known = [top for dotted, top in names.modules().items() if dotted.endswith(f".{stem}") and top]
    return not known or member in names.attributes() or any(member in top for top in known)
