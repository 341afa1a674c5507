"""The door for TorchScript files: from the text of their code to an agent."""

from __future__ import annotations

from pathlib import Path

from policypress.agents.applicable import AgentKind, refuse_useless
from policypress.agents.archive import Archive
from policypress.agents.bundle import AgentBundle, Dense
from policypress.agents.frameworks.bundling import Described, bundle_of
from policypress.agents.frameworks.found import Found
from policypress.agents.overrides import Overrides
from policypress.agents.torchscript.archive import Script, read_script
from policypress.agents.torchscript.interpreter import steps_of
from policypress.agents.torchscript.operators import RECURRENT, NotUnderstood
from policypress_runtime.errors import UnsupportedAgentError

HINT = (
    "Export the network to ONNX where it was made (torch.onnx.export) and give that file; or give the torch.nn.Module "
    "that it was made from to Policy.from_module(module, observation_space, action_space) in Python."
)


def read_torchscript(path: Path, archive: Archive, content: bytes, overrides: Overrides) -> AgentBundle:
    """Read the policy in a TorchScript file; nothing of it is executed.

    Args:
        path: the file.
        archive: the file, as a zip.
        content: its bytes.
        overrides: what the user states.

    Raises:
        UnsafeAgentError: a pickle in it asks for more than tensors.
        UnsupportedAgentError: its code does something that is not understood; the message names it.
        DamagedAgentError: it is truncated, or its layers do not fit.
        AgentError: something is stated that can be of no use.
    """
    refuse_useless(overrides, AgentKind.SCRIPT, path.name)
    script = read_script(archive, len(content))
    try:
        steps = steps_of(script).steps
    except NotUnderstood as error:
        what = f"recurrent: {error}" if _remembers(script) and "recurrent" not in str(error) else str(error)
        raise _refused(path, script.root.name, what) from error
    except RecursionError as error:
        raise _refused(path, script.root.name, "code that is nested too deeply") from error
    places = [place for place, step in enumerate(steps) if isinstance(step, Dense)]
    if not places:
        raise _refused(path, script.root.name, "no linear layer")
    last = places[-1]
    kind = script.root.name.removeprefix("__torch__.")
    found = Found(
        "torchscript",
        f"TorchScript of {kind}",
        tuple(step for step in steps[: last + 1] if isinstance(step, Dense)),
        after=steps[last + 1 :],
        choices=None if overrides.discrete_actions is not None else (),
    )
    return bundle_of(Described(path, content, found, steps[: last + 1]), overrides)


def _remembers(script: Script) -> bool:
    """Whether its code has a recurrent layer of torch."""
    return any(f"torch.{name}(" in text for text in script.code.values() for name in RECURRENT)


def _refused(path: Path, root: str, what: str) -> UnsupportedAgentError:
    memory = what.startswith("recurrent")
    return UnsupportedAgentError(
        f"{path.name} is a TorchScript file of {root.removeprefix('__torch__.')}, which is not read"
        + (": it has a memory." if memory else "."),
        got=what.removeprefix("recurrent: ") if memory else what,
        expected="a chain of linear layers, activations, normalisation and arithmetic with constants",
        hint=HINT,
    )
