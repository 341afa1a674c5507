"""C that calls nothing, not even ``memcpy``: for whatever has no target of its own."""

from __future__ import annotations

from policypress_runtime.codegen.targets.target import microcontroller

TARGETS = (microcontroller("freestanding", ("cc", "-ffreestanding"), hosted=False),)
