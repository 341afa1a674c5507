"""What a traced graph is refused for, and what is said of outputs that are left out."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from policypress.policy.policy import Policy
from policypress_runtime.errors import NetworkError
from recurrent_policies import unbounded


def test_a_state_that_begins_anew_is_no_memory() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.GRU(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(x[None])[0][0]

    with pytest.raises(NetworkError, match="begins anew at every step"):
        Policy.from_module(Forgetful(), unbounded(4), unbounded(2))


def test_what_is_left_out_is_told() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, :2] * 2, x.sum(1)

    policy = Policy.from_module(Both(), unbounded(4), unbounded(2))
    assert policy.origin.notices == ("The module returns 2 values; one is the action, and the others are left out.",)
