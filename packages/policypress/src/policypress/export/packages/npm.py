"""An npm package: the C as WebAssembly, with types and a page."""

from __future__ import annotations

import json

from policypress.export.packages.policy_in_c import VERSION, PolicyInC
from policypress.export.packages.wasm import to_wasm

HOW = """## Use

    import { load } from "@DASHED@";
    const policy = await load();
    const { action } = policy.act(@EXAMPLE@);

`page.html`, served by any web server, acts in a browser and measures how long it takes."""
ARRAYS = {"float": "Float32Array", "uint8_t": "Uint8Array", "int8_t": "Int8Array", "int32_t": "Int32Array"}
_SCRIPT = """// A policy in WebAssembly.
const INPUTS = @INPUTS@;
const ACTION = @ARRAY@;
const ARRAYS = { Float32Array, Uint8Array, Int8Array, Int32Array };
const SATURATED = 1;
const NOT_FINITE = 2;

async function bytes() {
  const place = new URL("./policy.wasm", import.meta.url);
  if (place.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(place);
  }
  return (await fetch(place)).arrayBuffer();
}

/** The policy; `source` are the bytes of policy.wasm where they are not beside this file. */
export async function load(source) {
  const { instance } = await WebAssembly.instantiate(source ?? (await bytes()), {});
  const { memory, act, ...places } = instance.exports;
  const view = ([, kind, size], i) => new ARRAYS[kind](memory.buffer, places["place_" + i](), size);
  const inputs = INPUTS.map(view);
  const action = view(ACTION, INPUTS.length);
  return {
    act(observation) {
      INPUTS.forEach(([name, , size], i) => {
        const values = INPUTS.length === 1 && observation.length !== undefined ? observation : observation[name];
        if (values === undefined || values.length !== size)
          throw new RangeError(`${name}: ${values?.length} values instead of ${size}`);
        inputs[i].set(values);
      });
      const status = act();
      if (status & NOT_FINITE) throw new RangeError("NaN or infinity in the observation");
      return { action: action.slice(), saturated: (status & SATURATED) !== 0 };
    },
  };
}
"""
_TYPES = """export type Observation = @OBSERVATION@;
export interface Acted {
  /** What the environment expects: one number for each part of the action. */
  action: @KIND@;
  /** Whether a value of the observation was clipped. */
  saturated: boolean;
}
export interface Policy {
  /** One action. Throws a RangeError where sizes are wrong or a value is not finite. */
  act(observation: Observation): Acted;
}
/** The policy; `source` are the bytes of policy.wasm where they are not beside this file. */
export function load(source?: BufferSource): Promise<Policy>;
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>@NAME@</title>
<p>Action of an observation of zeros: <output id="action"></output></p>
<p>Time of one action: <output id="time"></output></p>
<script type="module">
  import { load } from "./index.js";
  const policy = await load();
  const observation = @EXAMPLE@;
  const { action } = policy.act(observation);
  const count = 1000, start = performance.now();
  for (let i = 0; i < count; i++) policy.act(observation);
  document.querySelector("#action").textContent = Array.from(action).join(" ");
  document.querySelector("#time").textContent = ((1000 * (performance.now() - start)) / count).toFixed(1) + " µs";
</script>
</html>
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The package's files, by path.

    Raises:
        MissingDependencyError: clang or lld is not installed.
    """
    parts = [[part.name, ARRAYS[part.kind], part.size] for part in policy.inputs]
    fields = "; ".join(f"{part.name}: ArrayLike<number>" for part in policy.inputs)
    manifest = {
        "name": policy.name.replace("_", "-"),
        "version": VERSION,
        "description": "A reinforcement-learning policy in WebAssembly",
        "license": "MIT",
        "type": "module",
        "exports": {".": {"types": "./index.d.ts", "default": "./index.js"}},
        "types": "./index.d.ts",
        "files": ["index.js", "index.d.ts", "policy.wasm", "page.html", "contract.json"],
    }
    more = {
        "INPUTS": json.dumps(parts),
        "ARRAY": json.dumps([policy.action.name, ARRAYS[policy.action.kind], policy.action.size]),
        "OBSERVATION": f"ArrayLike<number> | {{ {fields} }}" if len(parts) == 1 else f"{{ {fields} }}",
        "KIND": ARRAYS[policy.action.kind],
        "EXAMPLE": example(policy),
    }
    return {
        "package.json": (json.dumps(manifest, indent=2) + "\n").encode(),
        "index.js": policy.filled(_SCRIPT, **more).encode(),
        "index.d.ts": policy.filled(_TYPES, **more).encode(),
        "page.html": policy.filled(_PAGE, **more).encode(),
        "policy.wasm": to_wasm(policy),
    }


def example(policy: PolicyInC) -> str:
    """JavaScript: an observation of zeros."""
    zeros = {part.name: f"new {ARRAYS[part.kind]}({part.size})" for part in policy.inputs}
    if len(zeros) == 1:
        return next(iter(zeros.values()))
    return "{ " + ", ".join(f"{name}: {value}" for name, value in zeros.items()) + " }"
