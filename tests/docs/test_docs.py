"""What the documents promise is there: links, options, states, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domogik.app.commands.options import ManagerOptions
from domogik.components.model import State

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_option_of_the_manager_is_documented() -> None:
    guide = (ROOT / "docs/guide/getting-started.md").read_text(encoding="utf-8")
    for name in [*ManagerOptions().longOpt, "version", "help"]:
        option = f"--{name.rstrip('=')}"
        if option not in ("--H=", "--H", "--V"):
            assert option in guide, option


def test_every_state_is_documented() -> None:
    reference = (ROOT / "docs/reference/states.md").read_text(encoding="utf-8")
    for state in State:
        assert f"| `{state.value}` |" in reference, state


def test_every_command_is_documented() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    documents = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    for command in re.findall(r'"(dmg\w+) = ', setup):
        assert command in documents, command


def test_every_path_that_contributors_are_told_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"(?:domogik|tests|docs|changes)/[\w./]*", text)
    assert "tests/unit/xpl/test_codec.py" in named
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_path_of_the_architecture_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w[\w/]*(?:/|\.py))`", text)
    assert len(named) > 50
    for path in named:
        assert (ROOT / "domogik" / path).exists(), path


def test_every_answer_to_a_newcomers_question_is_a_module() -> None:
    text = (ROOT / "docs/finding-things.md").read_text(encoding="utf-8")
    answers = re.findall(r"^\d+\. .* `([\w/]+\.py)`$", text, re.M)
    assert len(answers) == 20
    for path in answers:
        assert (ROOT / "domogik" / path).is_file(), path
