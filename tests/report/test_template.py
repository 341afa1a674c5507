"""Templates: what is put in is text, what is missing is an error."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import pytest

from policypress.report.template import page_of


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page_of("page.html.j2")


def test_a_plug_in_has_templates_of_its_own_and_ours_to_include(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_with_a_page"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "page.html.j2").write_text('{{ text }}<style>{% include "base.css" %}</style>')
    monkeypatch.syspath_prepend(tmp_path)
    try:
        page = page_of("page.html.j2", package=package.name, text="<b>")
    finally:
        sys.modules.pop(package.name, None)
    assert page.startswith("&lt;b&gt;<style>")
    assert "--ground" in page
