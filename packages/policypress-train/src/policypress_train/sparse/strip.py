"""A policy-only zip: the acting network and its description, without optimizer, value networks and pickles."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import torch

from policypress_train.algorithms import Algorithm

KEPT_FIELDS = (
    "policy_class",
    "policy_kwargs",
    "observation_space",
    "action_space",
    "use_sde",
    "num_timesteps",
    "seed",
    "env_id",
)
_VERSION = "_stable_baselines3_version"
# A fixed date, so that the same agent gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def strip(full: bytes, algorithm: Algorithm) -> bytes:
    """The policy of a zip that ``model.save()`` wrote, as a smaller zip that policypress reads.

    Of each field, what is pickled (``:serialized:``) is left out; the acting tensors are unchanged.
    """
    with zipfile.ZipFile(io.BytesIO(full)) as archive:
        data = json.loads(archive.read("data"))
        tensors = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True, map_location="cpu")
        version = archive.read(_VERSION)
    kept = {name: _readable(data[name]) for name in KEPT_FIELDS if name in data}
    acting = {name: tensor for name, tensor in tensors.items() if name.startswith(algorithm.acting)}
    policy = io.BytesIO()
    torch.save(acting, policy)
    members = {"data": json.dumps(kept, indent=2).encode(), "policy.pth": policy.getvalue(), _VERSION: version}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), member, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _readable(value: Any) -> Any:
    """Drop pickles, and what differs between runs: addresses, docstrings and methods of classes."""
    if not isinstance(value, dict):
        return value
    return {
        name: _readable(item)
        for name, item in value.items()
        if name != ":serialized:"
        and (name == "__module__" or not name.startswith("__"))
        and not (isinstance(item, str) and " at 0x" in item)
    }
