"""What is timed: for each runtime a function of an observation (or a batch), with nothing of ours around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from policypress_runtime.contract import Discrete
from policypress_runtime.errors import MissingDependencyError, NoNativeFormError
from policypress_runtime.runtimes.litert_runtime import LiteRtRuntime
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.runtimes.onnx_runtime import session_options
from policypress_runtime.runtimes.openvino_runtime import OpenVinoRuntime
from runtime_comparison.networks import DYNAMIC, FP32, INT8, PRUNED, Array, Network

Act = Callable[[Array], Any]
SB3, ORT_RUN = "SB3 predict", "ORT fp32 run()"
C_FP32, C_INT8, C_PRUNED = "C fp32", "C int8", "C int8 + 50 % pruned"
# Name → variant of the network; those below are built from the ONNX file of that variant.
VARIANTS = {
    SB3: FP32,
    "torch eager": FP32,
    ORT_RUN: FP32,
    "ORT fp32 IO binding": FP32,
    "ORT dynamic run()": DYNAMIC,
    "ORT QDQ run()": INT8,
    "LiteRT fp32": FP32,
    "LiteRT int8": INT8,
    "OpenVINO fp32": FP32,
    "OpenVINO int8": INT8,
    C_FP32: FP32,
    C_INT8: INT8,
    C_PRUNED: PRUNED,
}


def contenders(network: Network, batch: int) -> tuple[dict[str, Act], dict[str, str]]:
    """Every runtime ready to act on ``batch`` observations at once, and why others are not: name → reason."""
    ready: dict[str, Act] = {}
    absent: dict[str, str] = {}
    for name, variant in VARIANTS.items():
        model = network.artifacts[variant].model
        try:
            ready[name] = _made(name, network, model, batch)
        except (MissingDependencyError, NoNativeFormError) as error:
            absent[name] = f"{error.message} {error.hint or error.got or ''}".strip()
    return ready, absent


def _made(name: str, network: Network, model: bytes, batch: int) -> Act:
    if name == SB3:
        policy = network.sb3()
        return lambda x: policy.predict(x, deterministic=True)
    if name == "torch eager":
        return _torch(network, batch)
    if name.startswith("ORT"):
        return _ort_bound(model, network, batch) if "binding" in name else _ort(model, batch)
    if name.startswith("LiteRT"):
        return _litert(LiteRtRuntime(model), batch)
    if name.startswith("OpenVINO"):
        request = OpenVinoRuntime(model)._request
        return lambda x: request.infer([x if batch > 1 else x[None]], share_inputs=True)
    return _native(NativeRuntime(model), batch)


def _torch(network: Network, batch: int) -> Act:
    policy = network.policy

    def act(x: Array) -> Any:
        with torch.no_grad():
            return policy(torch.from_numpy(x if batch > 1 else x[None])).numpy()

    return act


def _session(model: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])


def _ort(model: bytes, batch: int) -> Act:
    session = _session(model)
    name = session.get_inputs()[0].name
    if batch > 1:
        return lambda x: session.run(["action"], {name: x})
    return lambda x: session.run(["action"], {name: x[None]})


def _ort_bound(model: bytes, network: Network, batch: int) -> Act:
    session = _session(model)
    binding = session.io_binding()
    buffer = network.observations[:batch].copy()
    value = ort.OrtValue.ortvalue_from_numpy(buffer)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
    spec = session.get_outputs()[0]
    discrete = isinstance(network.policy.action_space, Discrete)
    result = np.zeros((batch, *spec.shape[1:]), np.int64 if discrete else np.float32)
    out = ort.OrtValue.ortvalue_from_numpy(result)
    binding.bind_ortvalue_output("action", out)

    def act(x: Array) -> Any:
        buffer[:] = x
        session.run_with_iobinding(binding)
        return result

    return act


def _litert(runtime: LiteRtRuntime, batch: int) -> Act:
    runtime._fit(batch)
    engine, index, out = runtime._engine, runtime._input, runtime._outputs["action"]

    def act(x: Array) -> Any:
        engine.set_tensor(index, x if batch > 1 else x[None])
        engine.invoke()
        return engine.get_tensor(out)

    return act


def _native(runtime: NativeRuntime, batch: int) -> Act:
    if batch == 1:
        act: Act = runtime.act
        return act
    module, action = runtime._module, next(s for s in runtime.contract.outputs if s.name == "action")
    out = np.zeros((batch, *action.shape), action.dtype)
    return lambda x: module.act_batch(x, out)
