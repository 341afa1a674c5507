"""The one way from data to a page: text is escaped and made fit to be shown, whatever it was read from."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from policypress.report.studies.wording import algorithm_name
from policypress_runtime.foreign_text import on_page

_OWN = "policypress.report"


def page_of(template: str, /, *, package: str = _OWN, **values: Any) -> str:
    """The page that ``template`` makes of ``values``. A value that is missing is an error.

    Args:
        template: a file of ``package``, or of :mod:`policypress.report`, from which it may also include files.
        package: name of the package that the template lies in.
        **values: of the template.
    """
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "") for name in dict.fromkeys((package, _OWN))]),
        autoescape=True,
        finalize=on_page,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["algorithm_name"] = algorithm_name
    return environment
