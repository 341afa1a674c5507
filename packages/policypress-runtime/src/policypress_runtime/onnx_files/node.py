"""What is read off an ONNX node or file alike, whatever it becomes: layers of a policy, or C. Without torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

STANDARD_DOMAINS = ("", "ai.onnx")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operators that the file uses; 0 where it does not say."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), 0)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


class Attributes:
    """Attributes of one node, in the types of Python; :attr:`attributes` holds them as ONNX gives them."""

    attributes: Mapping[str, Any]

    @abstractmethod
    def operand(self, index: int) -> Any:
        """The operand at ``index``, or None where it is left out."""

    @abstractmethod
    def constant(self, index: int) -> Any:
        """The operand at ``index``, an array or a tensor; an error where it depends on the observation."""

    def integers(self, name: str, index: int | None = None) -> list[int] | None:
        """Integers that are an attribute in older opsets and the operand at ``index`` in newer ones."""
        if name in self.attributes:
            given = self.attributes[name]
            return [int(v) for v in given] if isinstance(given, list) else [int(given)]
        if index is None or self.operand(index) is None:
            return None
        return [int(v) for v in self.constant(index).reshape(-1).tolist()]

    def number(self, name: str, default: float) -> float:
        """A numeric attribute."""
        return float(self.attributes.get(name, default))

    def integer(self, name: str, default: int) -> int:
        """A whole-number attribute."""
        return int(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        given = self.attributes.get(name, default)
        return given.decode() if isinstance(given, bytes) else str(given)
