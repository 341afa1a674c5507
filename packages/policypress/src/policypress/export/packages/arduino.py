"""An Arduino library with an example sketch."""

from __future__ import annotations

from policypress.export.packages.policy_in_c import PolicyInC

HOW = """## Use

Copy this folder into the `libraries` folder of the Arduino IDE, restart it, and open File, Examples, @NAME@, Act.
With the
command line: `arduino-cli lib install` does not take folders; `arduino-cli compile --library .` does."""
_PROPERTIES = """name=@NAME@
version=@VERSION@
author=policypress
maintainer=policypress
sentence=A reinforcement-learning policy.
paragraph=One function from an observation to an action, without dependencies.
category=Device Control
url=https://www.arduino.cc/reference/en/libraries/
architectures=*
includes=@NAME@.h
"""
SKETCH = """/* Acts once in each period. Put the sensors' values where it says so, and send the action to motors. */
#include <Arduino.h>
#include <@NAME@.h>

@DECLARED@
static const unsigned long period_ms = 20;
static unsigned long acted_ms;

void setup() { Serial.begin(115200); }

void loop()
{
    if (millis() - acted_ms < period_ms)
        return;
    acted_ms = millis();
    /* Here the sensors are read into the arrays above, in the order and units of the contract. */
    const int status = @CALL@;
    if (status & @MACRO@_NOT_FINITE)
        return; /* the action was not written: hold the last one, and stop after some periods */
    for (int i = 0; i < @ACTION_SIZE@; i++) {
        Serial.print(@ACTION@[i]);
        Serial.print(i + 1 < @ACTION_SIZE@ ? ' ' : '\\n');
    }
}
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The library's files, by path."""
    return {
        "library.properties": policy.filled(_PROPERTIES).encode(),
        "examples/Act/Act.ino": policy.filled(SKETCH).encode(),
        **{f"src/{name}": content for name, content in policy.sources.items()},
    }
