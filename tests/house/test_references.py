"""What a docstring, a comment or a page refers to is there: modules, members, files, decisions."""

import pytest

from tests.house import names, references, texts
from tests.house.references import Rule
from tests.house.texts import Text

HISTORY = {
    "CHANGELOG.md": "says what names were before",
    "docs/measured.md": "says what was measured, under the names of that time",
}
"""Files whose names of code need not be there any more; decision records must be, there too."""


def dangling(rule: Rule, text: Text) -> list[str]:
    return [f"{text.path}:{line_of(reference, text)} {reference}" for reference in rule(text)]


def line_of(reference: str, text: Text) -> int:
    """The first line on which the text has it."""
    return text.line + text.text.count("\n", 0, max(text.text.find(reference), 0))


@pytest.mark.parametrize("rule", references.RULES, ids=lambda rule: rule.__name__)
def test_no_reference_leads_nowhere(rule: Rule) -> None:
    is_of_code = rule not in (references.decisions, references.drafts)
    found = [
        reference
        for text in texts.texts()
        if not (is_of_code and text.path in HISTORY)
        for reference in dangling(rule, text)
    ]
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


def test_every_foreign_word_is_used_and_is_not_ours() -> None:
    used = {name for text in texts.texts() for name in references.names_in(text)}
    used |= {part for name in used for part in name.split(".")}
    ours = names.words(with_strings_of_tests=False)
    unused = references.FOREIGN_WORDS.keys() - used
    assert not unused, f"no longer used, take them off the list: {sorted(unused)}"
    known = references.FOREIGN_WORDS.keys() & ours
    assert not known, f"names of our code, take them off the list: {sorted(known)}"


SOME_JAVA_FILE = min(name for name in names.file_names() if name.endswith(".java"))

# Each rule finds what it is for, in every kind of file, and lets pass what is there.
BREACHES: dict[Rule, tuple[str, ...]] = {
    references.paths: ("see schemas/gone.py", "in `infra/gone/` and elsewhere"),
    references.file_names: ("``gone.py`` does it", "as Gone.java does"),
    references.dotted_names: (
        "by schemas.gone alone",
        "calls `schemas.codec.gone`",
        "`schemas.transaction.Transaction.gone`",
    ),
    references.members: ("``Transaction.gone``", "`codec.gone_with_it(value)`"),
    references.words: ("the old `gone_module`", "as `GoneClass` does", "``gone_job.decode``"),
    references.decisions: ("see ADR 9999", "in docs/adr/9999"),
    references.drafts: ("says DESIGN D3", "see DESIGN.md"),
}
PRESENT: dict[Rule, tuple[str, ...]] = {
    references.paths: ("see schemas/codec.py.", "in `infra/local/`", "requirements/*.txt"),
    references.file_names: ("``codec.py`` does it", f"as {SOME_JAVA_FILE} does"),
    references.dotted_names: (
        "by schemas.codec alone.",
        "`schemas.codec.decode_label`",
        "`schemas.transaction.Transaction.to_wire`",
    ),
    references.members: ("``Transaction.to_wire()``", "`codec.decode_label(value)`"),
    references.words: ("the new `field_readers`", "`WEIR_KAFKA_PORT`", "`user_amount_sum_5m`"),
    references.decisions: ("see ADR 0001", "in docs/adr/0001"),
    references.drafts: ("by design",),
}


@pytest.mark.parametrize("rule", references.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("features/x.py", '"""Docstring.\n\n{}\n"""\n'),
        ("features/x.py", "x = 1  # Comment: {}\n"),
        ("features/x.py", 'X = 1\n"""{}"""\n'),
        ("streams/jvm/weir/X.java", "/** {} */ class X {{}}"),
        ("docs/x.md", "# Page\n\n{}\n"),
        ("infra/local/templates/x.yaml", "# {}\n"),
    ],
    ids=["docstring", "comment", "string below a constant", "Java", "page", "configuration"],
)
def test_every_rule_finds_its_breach_and_nothing_else(rule: Rule, name: str, content: str) -> None:
    for breach in BREACHES[rule]:
        (text,) = texts.texts_of(name, content.format(breach))
        assert dangling(rule, text), breach
    for present in PRESENT[rule]:
        (text,) = texts.texts_of(name, content.format(present))
        assert not dangling(rule, text), present


def test_what_is_no_prose_refers_to_nothing() -> None:
    code = 'PATH = "schemas/gone.py"\nname = f"{x} schemas.gone"\n'
    assert list(texts.texts_of("features/x.py", code)) == []
    fenced = Text("docs/x.md", 1, "```\n`gone_module`\n```\n")
    assert list(references.words(fenced)) == []


def test_java_names_a_member_by_its_own_sign() -> None:
    (text,) = texts.texts_of("streams/jvm/weir/X.java", "/** {@link Transaction#gone} */")
    assert list(references.members(text)) == ["Transaction#gone"]
