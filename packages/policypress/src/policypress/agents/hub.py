"""Agents on the Hugging Face Hub: ``hub:organisation/repository``, with ``@revision`` if wanted.

The repository's zip and the small files beside it are downloaded by ``huggingface_hub``, which also serves
them from its cache without a network.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from policypress.agents.bundle import AgentBundle
from policypress.agents.near_files import PREFIX
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.agents.zoo.reading import read_zoo_folder
from policypress_runtime.errors import AgentError, MissingDependencyError

_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?")
# Statistics stand in files of any name; those without a suffix have one of a few.
_WANTED = ["*.zip", "*.yml", "*.pkl", "*.pickle", "*.pk", "*vecnorm*", "*vec_norm*", "*normali[sz]er*"]
_NOT_WANTED = ["train_eval_metrics.zip", "*/*", "replay_buffer.pkl"]


def read_hub(source: str, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read the agent of a Hub repository such as ``hub:sb3/ppo-CartPole-v1``.

    Raises:
        MissingDependencyError: ``huggingface_hub`` is not installed.
        AgentError: no such repository, no network and not in the cache; or as ``read_zoo_folder``.
    """
    match = _ID.fullmatch(source.removeprefix(PREFIX))
    if match is None:
        raise AgentError(
            "This is not the id of a repository on the Hub.",
            got=source,
            expected="hub:organisation/repository[@revision]",
        )
    repository = match["repo"]
    folder = _download(repository, match["revision"])
    bundle = read_zoo_folder(folder, overrides=overrides, name=repository.partition("/")[2])
    provenance = replace(bundle.provenance, source=f"{PREFIX}{repository}@{folder.name}")
    return replace(bundle, provenance=provenance)


def _download(repository: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            "Reading agents from the Hub needs huggingface_hub.", hint="pip install 'policypress[hub]'"
        ) from error
    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED)
        )
    # The client raises types of its own, of its HTTP library and of the file system.
    except Exception as error:
        raise AgentError(
            f"The repository {repository} cannot be downloaded from the Hub.",
            got=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}",
            expected="a public repository, and a network or a copy in the local cache",
            hint="Check the name on the Hub's page, or download the files and give their folder.",
        ) from error
