"""Every error policypress raises on purpose, in one tree.

Each says what was got, what was expected and what to do; ``str(error)`` is that one message.

    PolicypressError
    ├── InputError                      the user's input; the command line exits with 2
    │   ├── AgentError                  a trained agent cannot be read
    │   │   ├── DamagedAgentError       truncated, bomb, traversal, missing member, NaN, wrong shape
    │   │   ├── UnsafeAgentError        reading it would mean executing it
    │   │   ├── UnsupportedAgentError   a policy or algorithm that is not supported (recurrent, ...)
    │   │   └── UndeterminedAgentError  the file does not determine the network; names the flag
    │   ├── EnvironmentInputError       an environment cannot be made
    │   │   ├── UnknownEnvironmentError no such id
    │   │   ├── SpaceMismatchError      the agent does not fit the environment; names what fits
    │   │   └── WrapperError            a wrapper that is not on the allow-list, or fails
    │   ├── EnvironmentFailedError          the user's environment raised, or gave what no environment may give
    │   ├── ObservationError            wrong shape, dtype, key, or a non-finite value
    │   ├── NetworkError                a network or ONNX file with an operator outside the supported set
    │   ├── RecipeError                 a recipe that does not parse, or is out of order
    │   ├── ArtifactError               a file that is no artifact of ours, or of a newer schema
    │   ├── StudyInputError             a study file or a store that does not fit
    │   │   └── EpisodeFileError        a file of episodes that cannot be certified with
    │   ├── TrainingInputError          an algorithm, hyperparameter or checkpoint that a training cannot use
    │   │   └── NativeUpdateError       it cannot be learned, or built, in C here
    │   └── OutputError                 the output path cannot be written
    ├── ParityError                     the file would not do what the policy does; nothing was written
    ├── StoreError                      the result store is damaged or held by another driver
    ├── ExecutionError                  a task failed in a worker
    ├── MeterError                      an energy meter cannot be read here; says why
    ├── NativeBuildError                an artifact cannot be built into machine code here: no compiler, no headers
    │   ├── NoNativeFormError           it holds an operator that C cannot be generated for; names it
    │   └── UnusableCompilerError       the compiler that CC names, or that is found, compiles nothing; says why
    └── MissingDependencyError          an optional package is not installed; names the extra
"""

from __future__ import annotations

from policypress_runtime.foreign_text import LIMIT, plain_lines


class PolicypressError(Exception):
    """Root of the tree.

    Args:
        message: what happened, in one sentence.
        got: what was found.
        expected: what would have been right.
        hint: what the user can do next.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        got: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.got = got
        self.expected = expected
        self.hint = hint
        super().__init__(message, got, expected, hint)

    def __str__(self) -> str:
        # Much of it stood in files. It may not steer the terminal that shows it, nor pass for a line of ours.
        parts = [plain_lines(self.message, LIMIT)]
        if self.got is not None:
            parts.append("got: " + plain_lines(self.got, LIMIT).replace("\n", "\n    "))
        if self.expected is not None:
            parts.append(f"expected: {plain_lines(self.expected, LIMIT)}")
        if self.hint is not None:
            parts.append(f"what to do: {plain_lines(self.hint, LIMIT)}")
        return "\n  ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes with every field."""
        return (_rebuild, (type(self), self.message, self.got, self.expected, self.hint))


def _rebuild(
    kind: type[PolicypressError],
    message: str,
    got: str | None,
    expected: str | None,
    hint: str | None,
) -> PolicypressError:
    return kind(message, got=got, expected=expected, hint=hint)


class InputError(PolicypressError):
    """The user's input cannot be used."""

    exit_code = 2


class AgentError(InputError):
    """A trained agent cannot be read."""


class DamagedAgentError(AgentError):
    """The file is truncated, malicious in shape, incomplete, or holds impossible numbers."""


class UnsafeAgentError(AgentError):
    """Reading the file would mean executing something in it."""


class UnsupportedAgentError(AgentError):
    """The algorithm or the policy is not supported."""


class UndeterminedAgentError(AgentError):
    """The file does not determine the network; the message names the flag that does."""


class EnvironmentInputError(InputError):
    """An environment cannot be made."""


class UnknownEnvironmentError(EnvironmentInputError):
    """No environment is registered under this id."""


class SpaceMismatchError(EnvironmentInputError):
    """The agent's observation or action space does not fit the environment's."""


class WrapperError(EnvironmentInputError):
    """A wrapper is not on the allow-list, or cannot be applied."""


class EnvironmentFailedError(InputError):
    """The user's environment raised an exception, or gave what no environment may give; the message says where."""


class ObservationError(InputError):
    """An observation has the wrong shape, dtype or keys, or is not finite."""


class NetworkError(InputError):
    """A network holds an operator outside the supported set; the message names it."""


class RecipeError(InputError):
    """A recipe does not parse, or its steps are out of order."""


class ArtifactError(InputError):
    """A file is not a policypress artifact, or one of a newer schema."""


class StudyInputError(InputError):
    """A study's specification is not valid, or does not belong to this store."""


class EpisodeFileError(StudyInputError):
    """A file of episodes cannot be read, or does not fit the others."""


class TrainingInputError(InputError):
    """A training cannot be set up: its algorithm, a hyperparameter, the environment's spaces, or its checkpoint."""


class NativeUpdateError(TrainingInputError):
    """The native update does not support this agent, or cannot be built here."""


class OutputError(InputError):
    """The output path cannot be written."""


class ParityError(PolicypressError):
    """The file would not do what the policy does, so it was not written."""


class StoreError(PolicypressError):
    """The result store is damaged, of another schema, or held by another driver."""


class ExecutionError(PolicypressError):
    """A task failed in a worker; carries the worker's own words."""


class MeterError(PolicypressError):
    """An energy meter is not there, may not be read, or stopped being readable; the message says which and why."""


class NativeBuildError(PolicypressError):
    """An artifact cannot be built into machine code here: there is no compiler, or no ``Python.h``, or they failed."""


class UnusableCompilerError(NativeBuildError):
    """The C compiler that CC and CFLAGS name, or that is found, cannot compile anything; the message says why."""

    exit_code = 2


class NoNativeFormError(NativeBuildError):
    """An artifact holds what C cannot be generated for, on any machine; the message names it."""


class MissingDependencyError(PolicypressError):
    """An optional package is needed; the message names the extra to install."""
