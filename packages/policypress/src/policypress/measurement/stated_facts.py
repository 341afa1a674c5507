"""Facts that the user states of several files at once: each gets those that can be of use for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from policypress.agents.applicable import (
    AgentKind,
    flags,
    refuse_useless,
    stated_fields,
    useless,
    useless_fields,
    without,
)
from policypress.agents.loading import checkpoint_of_run, network_in
from policypress.agents.normalisers.search import NONE
from policypress.agents.onnx_reading.file import MAX_ONNX_BYTES
from policypress.agents.overrides import Overrides
from policypress_runtime.contract import METADATA_KEY
from policypress_runtime.errors import AgentError, ArtifactError
from policypress_runtime.regular_file import read_regular
from policypress_runtime.runtimes.onnx_metadata import described
from policypress_runtime.runtimes.protocol import Runtime


def shared_between(sources: Sequence[Any], overrides: Overrides) -> tuple[tuple[Overrides, ...], tuple[str, ...]]:
    """The ``overrides`` that apply to each of ``sources``, and notices for the user.

    An artifact is run as it is; options may apply to an agent in the same call.

    Raises:
        AgentError: something is stated that is of use for none of them.
    """
    if not stated_fields(overrides):
        return tuple(overrides for _ in sources), ()
    kinds = [kind_of(source) for source in sources]
    # That there are no statistics may be true of an artifact too: it says so itself.
    true = {"normalizer"} if overrides.normalizer == NONE else set()
    idle = [set(useless_fields(overrides, kind)) - (true if kind is AgentKind.ACTING else set()) for kind in kinds]
    if len(sources) == 1:
        return (overrides,), ()  # refused, with its reason, where it is read
    nowhere = sorted(set.intersection(*idle)) if idle else []
    if nowhere:
        raise useless(nowhere, "This option applies to none of the files.", "Leave the option out.")
    notices = tuple(
        f"{source}is an artifact, which is run as it is: {flags(sorted(names))} counts for the other files."
        for source, kind, names in zip(sources, kinds, idle, strict=True)
        if kind is AgentKind.ACTING and names
    )
    return tuple(without(overrides, names) for names in idle), notices


def check_acting(artifact: Runtime, overrides: Overrides, label: str) -> None:
    """Refuse facts that are stated of an artifact, which acts as it is; that it has no normaliser may be true.

    Raises:
        AgentError: names the options.
    """
    true = overrides.normalizer == NONE and "normalise" not in artifact.contract.folded
    refuse_useless(replace(overrides, normalizer=None) if true else overrides, AgentKind.ACTING, label)


def kind_of(source: Any) -> AgentKind:
    """What ``source`` is by what may be stated of it, found out without reading all of it."""
    if not isinstance(source, str | Path):
        return AgentKind.READ
    file = network_in(source)
    if file is None:
        return AgentKind.LIBRARY if checkpoint_of_run(source) is None else AgentKind.CHECKPOINT
    try:
        ours = (
            METADATA_KEY
            in described(read_regular(file, limit_bytes=MAX_ONNX_BYTES, error=AgentError), file.name).metadata
        )
    except (AgentError, ArtifactError):
        return AgentKind.NETWORK  # told, with its reason, where it is read
    if not ours:
        return AgentKind.NETWORK
    return AgentKind.ARTIFACT if Path(source).is_dir() else AgentKind.ACTING
