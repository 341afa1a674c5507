"""A PlatformIO project whose own library holds the policy."""

from __future__ import annotations

import json

from policypress.export.packages.arduino import SKETCH
from policypress.export.packages.policy_in_c import VERSION, PolicyInC

HOW = """## Use

`pio run` builds `src/main.cpp` for the boards of `platformio.ini`; keep the one you have. The policy is the library
`lib/@NAME@`."""
_PROJECT = """; Keep the board that you have.
[platformio]
default_envs = mega

[env]
framework = arduino
build_flags = -O2 -ffp-contract=off

[env:mega]
platform = atmelavr
board = megaatmega2560

[env:esp32]
platform = espressif32
board = esp32dev

[env:pico]
platform = raspberrypi
board = pico
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The project's files, by path."""
    library = {"name": policy.name, "version": VERSION, "description": "A reinforcement-learning policy"}
    return {
        "platformio.ini": _PROJECT.encode(),
        "src/main.cpp": policy.filled(SKETCH).encode(),
        f"lib/{policy.name}/library.json": (json.dumps(library, indent=2) + "\n").encode(),
        **{f"lib/{policy.name}/src/{name}": content for name, content in policy.sources.items()},
    }
