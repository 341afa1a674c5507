"""The one way from data to a page: text is escaped and made fit to be shown, whatever it was read from."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from policypress.foreign_text import on_page


def page_of(template: str, **values: Any) -> str:
    """The page that ``template``, a file of this package, makes of ``values``. A value that is missing is an error."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("policypress.report", ""),
        autoescape=True,
        finalize=on_page,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
