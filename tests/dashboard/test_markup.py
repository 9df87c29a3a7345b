"""What every template must keep to, so that the strict policy and the icon sprite hold."""

import re
from pathlib import Path

import pytest

from dashboard.context import PLACES
from dashboard.templatetags.zoobatch import ICON_BY_FAMILY, ICON_BY_WORD

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
ICONS = set((ROOT / "assets" / "icons.txt").read_text().split())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_carries_no_inline_style_or_script(path: Path) -> None:
    """The content security policy would block it."""
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"\son[a-z]+\s*=", text)
    assert "hx-on" not in text
    assert "js:" not in text
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"hx-trigger=\"[^\"]*\[", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_sprite_has_every_icon_of_a_template(path: Path) -> None:
    """An icon that is not in the sprite would be an empty box."""
    named = set(re.findall(r"\{% icon \"([a-z0-9-]+)\"", path.read_text()))
    named |= set(re.findall(r"icon_name=\"([a-z0-9-]+)\"", path.read_text()))
    assert named <= ICONS


def test_the_sprite_has_every_icon_that_code_names() -> None:
    """Badges and navigation name icons too."""
    assert {*ICON_BY_FAMILY.values(), *ICON_BY_WORD.values()} <= ICONS
    assert {icon for _, _, _, icon, _ in PLACES} <= ICONS


def test_no_icon_is_carried_that_nothing_shows() -> None:
    """The sprite holds what is used, no more."""
    sources = [*TEMPLATES, *(ROOT / "dashboard").rglob("*.py")]
    used = "\n".join(path.read_text() for path in sources)
    assert sorted(name for name in ICONS if f'"{name}"' not in used) == []
