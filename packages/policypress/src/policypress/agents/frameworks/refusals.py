"""What checkpoints hold that is not read, refused by name."""

from __future__ import annotations

from collections.abc import Iterable

from policypress.agents.archive import listing
from policypress.agents.frameworks.chains import HINT
from policypress_runtime.errors import UnsupportedAgentError

MEMORY_HINT = (
    "Export the policy with the framework's own exporter to ONNX, with its state as inputs and outputs, and give that "
    "file."
)


def refuse_others(form: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse tensors of an acting network that are neither read nor known not to act.

    Args:
        form: of the checkpoint.
        names: of all tensors.
        known: how those begin that are read, or do not act.

    Raises:
        UnsupportedAgentError: names them.
    """
    strange = sorted(name for name in names if not str(name).startswith(known))
    if strange:
        raise UnsupportedAgentError(
            f"The checkpoint has the form of {form}, and its network has parts that are not read.",
            got="tensors " + listing(strange, 6),
            expected="an actor of linear layers, with or without a normaliser of observations",
            hint=HINT,
        )


def refuse_memory(form: str, names: Iterable[str], prefixes: tuple[str, ...]) -> None:
    """Refuse a recurrent actor.

    Raises:
        UnsupportedAgentError: names its tensors.
    """
    found = sorted(name for name in names if str(name).startswith(prefixes))
    if found:
        raise UnsupportedAgentError(
            f"The checkpoint has the form of {form}, and its actor is recurrent, which is not read from a checkpoint.",
            got="tensors " + listing(found, 4),
            expected="an actor without memory",
            hint=MEMORY_HINT,
        )
