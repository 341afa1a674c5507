"""The parameter ``weights`` of the papers' quantizers."""

from __future__ import annotations

from policypress.errors import RecipeError

FORMS = ("int8", "fp32")


def check_weights(step: str, value: str) -> None:
    """Refuse anything but ``int8`` and ``fp32``.

    Raises:
        RecipeError: another value.
    """
    if value not in FORMS:
        raise RecipeError(
            f"{step} cannot store weights this way.", got=f"weights={value}", expected="weights=int8 or weights=fp32"
        )
