"""Templates: what is put in is text, what is missing is an error."""

from __future__ import annotations

import jinja2
import pytest

from policypress.report.template import page_of


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page_of("page.html.j2")
