r"""The one way by which text that may come from an agent's file gets into a package: by lists of what is allowed.

A joint's name may hold anything. In Markdown it becomes part of an indented block of plain characters; in YAML and
JSON
a quoted string of ASCII. It reaches no XML, TOML, CMake, Python, shell or path.
"""

from __future__ import annotations

import json
import re
import textwrap

from policypress_runtime.contract import Contract

_NOT_IN_TEXT = re.compile(r"[^A-Za-z0-9 .,:;()\[\]{}_+=|@#%/~^$-]+")
_WIDTH = 100
_MOST_NAMES = 1000


def block(text: str) -> str:
    """Lines of an indented Markdown block, which no reader of Markdown takes for anything else.

    >>> block("<b>*/`x`")
    '    ?b?/?x?'
    """
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(_NOT_IN_TEXT.sub("?", line), _WIDTH) or [""]
    return "\n".join(f"    {line}".rstrip() for line in lines)


def quoted(text: str) -> str:
    r"""A string of JSON, which is one of YAML too; ASCII alone.

    >>> quoted('a: "b"\n')
    '"a: \\"b\\"\\n"'
    """
    return json.dumps(text, ensure_ascii=True)


def contract_json(contract: Contract) -> bytes:
    """The contract as JSON of ASCII."""
    return (json.dumps(contract.to_json(), indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()


def contract_block(contract: Contract) -> str:
    """The contract in words, for a README."""
    lines = [
        f"algorithm: {contract.algorithm}",
        f"environment: {contract.environment.id if contract.environment else 'not stated'}",
        *(f"input {spec.name}: {spec.dtype} {'x'.join(map(str, spec.shape)) or '1'}" for spec in contract.inputs),
        *(f"output {spec.name}: {spec.dtype} {'x'.join(map(str, spec.shape)) or '1'}" for spec in contract.outputs),
        f"computed inside: {', '.join(contract.folded) or 'the network alone'}",
        f"the caller supplies: {', '.join(contract.caller_supplies) or 'the observation, raw'}",
        *(f"assumed: {sentence}" for sentence in contract.assumptions),
        f"recipe: {contract.recipe or 'none'}, {contract.precision}",
        f"made from sha256: {contract.parent_sha256 or 'not stated'}",
    ]
    if contract.source is not None:
        lines.append(f"names in its file: {', '.join(contract.source.inputs)} to {contract.source.output}")
        lines += [f"{key}: {' '.join(text.split())}" for key, text in contract.source.metadata]
    return block("\n".join(lines))


def joint_names(contract: Contract) -> tuple[str, ...]:
    """What the agent's file calls the parts of its action, in order; empty where it does not say, or says more."""
    metadata = {} if contract.source is None else dict(contract.source.metadata)
    names = tuple(name.strip() for name in metadata.get("joint_names", "").split(",") if name.strip())
    size = 1
    for number in contract.outputs[0].shape:
        size *= number
    return names if len(names) == size <= _MOST_NAMES else ()
