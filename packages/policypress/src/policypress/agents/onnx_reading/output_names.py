"""What the name of an ONNX output says of it: an action, scores, a value, a log-probability, a state."""

from __future__ import annotations

import re
from enum import IntEnum


class Kind(IntEnum):
    """What an output is by its name; the smaller, the rather it is the action. From ``VALUE`` on it never is."""

    DETERMINISTIC = 0
    ACTION = 1
    ACTIONS_OF_A_KIND = 2
    MEAN = 3
    SCORES = 4
    HEAD = 5
    OUTPUT = 6
    UNKNOWN = 7
    LOG_PROBABILITIES = 8
    SAMPLE = 9
    VALUE = 10
    SPREAD = 11
    STATE = 12
    ABOUT = 13


NEVER_THE_ACTION = Kind.VALUE

_ACTION = {"action", "actions", "act", "acts"}
_MEAN = {"mean", "means", "mu", "mus", "loc", "mode", "control", "controls", "command", "commands", "torque", "torques"}
_SCORES = {"logit", "logits", "score", "scores", "prob", "probs", "probability", "probabilities", "softmax"}
_Q = {"q", "qs", "qvalue", "qvalues", "qval", "qvals"}
_VALUE = {"value", "values", "val", "vals", "v", "vs", "vf", "vpred", "vpreds", "critic", "baseline"}
_LOG_PROBABILITY = {"logprob", "logprobs", "logp", "logps", "logpi", "neglogp", "neglogpac", "logsoftmax"}
_SPREAD = {"std", "stds", "stddev", "logstd", "sigma", "sigmas", "logsigma", "var", "variance", "logvar", "cov"}
_SPREAD |= {"covariance", "entropy", "scale", "temperature"}
_STATE = {"state", "states", "hidden", "hiddens", "cell", "cells", "memory", "recurrent", "rnn", "lstm", "gru"}
_STATE |= {"hx", "cx", "hn", "cn", "h", "c", "hin", "cin", "hout", "cout", "carry", "carries"}
_ABOUT = {"version", "shape", "shapes", "size", "sizes", "mask", "masks", "number", "flag", "is"}
_SAMPLE = {"sample", "samples", "sampled", "stochastic", "noisy", "random"}
_DETERMINISTIC = {"deterministic", "greedy"}
_OUTPUT = {"output", "outputs", "out", "outs", "y", "result", "results", "prediction", "predictions"}
_HEAD = {"policy", "actor", "pi"}
# Words that stand before or behind and say nothing of the kind.
_AROUND = {"continuous", "discrete", "agent", "model", "net", "network", "head", "final", "raw", "squashed", "scaled"}
_AROUND |= {"clipped", "tanh", "joint", "joints", "robot", "motor", "target", "targets", "best", "env", "the", "to"}
_AROUND |= {"pred", "predicted", "selected", "chosen", "next", "dist", "distribution", "layer"}


def kind_of(name: str) -> Kind:
    """What an output called ``name`` is; only the last part of a path counts, case and numbers do not."""
    last = re.sub(r":\d+$", "", re.split(r"[/.]", re.sub(r"\.\d+$", "", name[:200]))[-1])
    if re.fullmatch(r"[A-Z]\w*_output_\d+", last):
        return Kind.UNKNOWN  # torch makes such names up from operators: Gemm_output_0
    words = words_of(last)
    plain = words - _AROUND
    if words & _ABOUT:
        return Kind.ABOUT
    if words & _LOG_PROBABILITY or ("log" in words and words & (_SCORES | _HEAD)):
        return Kind.LOG_PROBABILITIES
    if (words & _Q or (words & _ACTION and words & _VALUE)) and "critic" not in words:
        return Kind.SCORES
    if words & _VALUE:
        return Kind.VALUE
    if words & _SPREAD:
        return Kind.SPREAD
    if words & _STATE:
        return Kind.STATE
    return _of_an_action(words, plain)


def _of_an_action(words: set[str], plain: set[str]) -> Kind:
    rest = plain - _OUTPUT - _HEAD
    if words & _SAMPLE:
        return Kind.SAMPLE
    if words & _DETERMINISTIC:
        return Kind.DETERMINISTIC if rest <= _DETERMINISTIC | _ACTION | _MEAN else Kind.UNKNOWN
    if rest and rest <= _ACTION:
        return Kind.ACTION if words <= _ACTION else Kind.ACTIONS_OF_A_KIND
    if rest & _MEAN and rest <= _MEAN | _ACTION:
        return Kind.MEAN
    if rest & _SCORES and rest <= _SCORES | _ACTION:
        return Kind.SCORES
    if not rest and plain & _HEAD:
        return Kind.HEAD
    return Kind.OUTPUT if not rest and plain & _OUTPUT else Kind.UNKNOWN


def is_mask(name: str) -> bool:
    """Whether an input called ``name`` says which actions are allowed."""
    return bool(words_of(name) & {"mask", "masks", "masked", "legal", "available", "avail"})


def is_state(name: str) -> bool:
    """Whether an input called ``name`` is carried from step to step; ``state`` alone is also an observation's name."""
    words = words_of(name)
    return bool(words & _STATE) and not words <= {"state", "states", "obs", "observation", "observations", "env"}


def words_of(name: str) -> set[str]:
    """The words of a name in lower case: ``logStd_2`` → ``log``, ``std``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:200])
    # A version is no value: policy_v2.
    return set(re.findall(r"[a-z]+", re.sub(r"(?<![a-z])v\d+", "", apart.lower())))
