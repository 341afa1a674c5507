"""What a small target cannot hold or compute, told before any C is written for it."""

from __future__ import annotations

from policypress_runtime.codegen.expression import operations
from policypress_runtime.codegen.program import Map, Program
from policypress_runtime.codegen.rendering.constants import Constants
from policypress_runtime.codegen.targets.target import Target
from policypress_runtime.errors import NetworkError

# Reduced to a quarter of a turn in double precision.
_IN_DOUBLE = {"sin", "cos"}
_DOUBLE_BYTES = 8


def check_operations(program: Program, target: Target) -> None:
    """Refuse functions that the target's arithmetic cannot compute.

    Raises:
        NetworkError: sines, where ``double`` is no more than ``float``.
    """
    maps = (step for step in program.steps if isinstance(step, Map))
    used = {apply.operation for step in maps for apply in operations(step.expression)}
    if target.double_bytes < _DOUBLE_BYTES and used & _IN_DOUBLE:
        raise NetworkError(
            f"The network has functions that are computed in double precision, which {target.name} does not have.",
            got=", ".join(sorted(used & _IN_DOUBLE)),
            expected="a network without them",
            hint="Choose a 32-bit target, e.g. --target rp2040.",
        )


def check_constants(constants: Constants, target: Target) -> None:
    """Refuse more constants than the target can address.

    Raises:
        NetworkError: one array, or all of them, are too large.
    """
    for limit, found, what in (
        (target.most_array_bytes, constants.largest_bytes, "in one array"),
        (target.most_constants_bytes, constants.size_bytes, "of constants"),
    ):
        if limit is not None and found > limit:
            raise NetworkError(
                f"The policy is too large for {target.name}.",
                got=f"{found} bytes {what}",
                expected=f"at most {limit}",
                hint='Compress it further, e.g. "prune(l2, 0.5) > equalize > int8", or search: policypress compress.',
            )
