"""Adam over all parameters in one fused operation, with only the gradients it needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Gradients = Sequence[torch.Tensor | None]


class AdamStep:
    """Takes an optimizer's steps: by one fused operation where that is possible, by its own ``step()`` otherwise.

    The state stays in the optimizer, so that it is saved, loaded and continued as ever. Nothing is remembered between
    two steps but the parameters: a loaded state has other tensors.

    Source: Kingma & Ba, Adam (2015).
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self.parameters: list[torch.Tensor] = [p for group in optimizer.param_groups for p in group["params"]]

    def minimise(self, loss: torch.Tensor) -> None:
        """One step down the gradient of ``loss`` with respect to the optimizer's parameters alone."""
        self.step(torch.autograd.grad(loss, self.parameters, allow_unused=True))

    def step(self, gradients: Gradients) -> None:
        """One step; a parameter whose gradient is None is skipped."""
        present = [gradient for gradient in gradients if gradient is not None]
        if len(present) < len(self.parameters) or not self._can_fuse():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = gradient
            self._optimizer.step()
            return
        group = self._optimizer.param_groups[0]
        state = self._optimizer.state
        self.begin()
        states = [state[parameter] for parameter in self.parameters]
        first, second = group["betas"]
        counts = [item["step"] for item in states]
        torch._foreach_add_(counts, 1)
        torch._fused_adam_(
            self.parameters,
            present,
            [item["exp_avg"] for item in states],
            [item["exp_avg_sq"] for item in states],
            [],
            counts,
            lr=group["lr"],
            beta1=first,
            beta2=second,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )

    def _can_fuse(self) -> bool:
        """Plain Adam on the CPU in float32, without step pre-hooks."""
        optimizer = self._optimizer
        if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
            return False
        group = optimizer.param_groups[0]
        special = any(group[name] for name in ("amsgrad", "maximize", "capturable", "differentiable"))
        hooked = bool(optimizer._optimizer_step_pre_hooks) or bool(optimizer._optimizer_step_post_hooks)
        plain = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in self.parameters)
        return plain and not special and not hooked

    def begin(self) -> None:
        """Create the state that Adam creates at its first step, if there is none."""
        if len(self._optimizer.state) >= len(self.parameters):
            return
        for parameter in self.parameters:
            if parameter not in self._optimizer.state:
                self._optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
