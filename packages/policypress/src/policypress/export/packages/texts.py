"""What every package has: a README with the contract, the contract as JSON, and a licence."""

from __future__ import annotations

from policypress.export.packages.foreign import contract_block, contract_json
from policypress.export.packages.policy_in_c import PolicyInC

_README = """# @NAME@

A reinforcement-learning policy as C, written by policypress, which proved it equal to the artifact that it was
made from.
`@NAME@.h` says how it is called; `contract.json` holds its contract in full.

@HOW@

## Contract

@CONTRACT@

## Status

@NAME@_act returns bits: 0 all is well, 1 (`@MACRO@_SATURATED`) a value of the observation was clipped, 2
(`@MACRO@_NOT_FINITE`) NaN or infinity in the observation; then the action was not written. Never send an action
that was
not written.

The files are under the MIT licence (LICENSE). The numbers in `@NAME@.c` are the trained policy, whose rights are its
author's.
"""
_LICENCE = """MIT License

Copyright (c) the policypress authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to
use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def beside(policy: PolicyInC, how: str) -> dict[str, bytes]:
    """README, contract and licence; ``how`` is the README's part on building and calling, a template."""
    text = policy.filled(_README, HOW=policy.filled(how).strip(), CONTRACT=contract_block(policy.contract))
    return {
        "README.md": text.encode(),
        "contract.json": contract_json(policy.contract),
        "LICENSE": _LICENCE.encode(),
    }
