"""Each step of a program as lines of C, for ``rows`` observations at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod

import numpy as np

from policypress_runtime.codegen import packing, program
from policypress_runtime.codegen.expression import ITEM_BYTES, Array, Load, Storage
from policypress_runtime.codegen.memory import Memory
from policypress_runtime.codegen.program import Span
from policypress_runtime.codegen.rendering.constants import Constants, number
from policypress_runtime.codegen.rendering.map import Places, rendered_map
from policypress_runtime.codegen.rendering.state import member
from policypress_runtime.codegen.targets import Target

POOLS = {"float32": "f", "uint8": "u", "int8": "u", "int32": "n"}
C_TYPES = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int32": "int32_t"}
RUN = 4


@dataclass
class StepRenderer:
    """Writes steps for one kernel set.

    In the C they stand in, ``rows`` observations are computed, ``tile`` is the number there is room for, and
    ``f``, ``u`` and ``n`` are scratch memory for floats, bytes and integers.
    """

    memory: Memory
    constants: Constants
    target: Target
    suffix: str

    def lines(self, step: program.Step) -> list[str]:
        """Lines of C for ``step``."""
        return list(self._lines(step))

    def pointer(self, span: Span, row: str = "") -> str:
        """Address of a span, in the first row or in row ``row``."""
        storage = span.storage
        stride = self.stride(storage)
        if storage.space == "scratch":
            base = f"{POOLS[storage.kind]} + {self.memory.offsets[storage]} * tile"
            offset = f" + {span.offset}" if span.offset else ""
        elif storage.space == "state":
            return member(storage, row)
        else:
            base = storage.name
            offset = f" + {span.offset}" if span.offset else ""
        return f"{base}{offset}" + (f" + {row} * (ptrdiff_t){stride}" if row else "")

    def stride(self, storage: Storage) -> int:
        """Elements from one observation to the next."""
        return self.memory.strides[storage] if storage.space == "scratch" else storage.size

    def _each_row(self, lines: list[str]) -> list[str]:
        return ["for (int r = 0; r < rows; r++) {", *(f"    {line}" for line in lines), "}"]

    @singledispatchmethod
    def _lines(self, step: program.Step) -> list[str]:
        raise TypeError(f"no such step: {step!r}")

    @_lines.register
    def _map(self, step: program.Map) -> list[str]:
        def address(load: Load) -> str:
            return self.pointer(Span(load.storage, int(load.index.reshape(-1)[0])), "r")

        def room(load: Load) -> int:
            return self._room(load.storage, int(load.index.reshape(-1)[0]))

        target_room = self._room(step.out.storage, step.out.offset) if step.size == step.out.storage.size else 0
        places = Places(address, room, self.pointer(step.out, "r"), target_room, self.target.lanes)
        return self._each_row(rendered_map(step, places, self.constants))

    def _room(self, storage: Storage, offset: int) -> int:
        """Elements from ``offset`` on that belong to the array, padding included."""
        return self.memory.strides[storage] - offset if storage.space == "scratch" else 0

    @_lines.register
    def _quantize(self, step: program.Quantize) -> list[str]:
        call = (
            f"pp_quantize_{self.suffix}({self.pointer(step.x, 'r')}, {step.size}, {number(step.scale)}, "
            f"{number(step.low)}, {number(step.high)}, {step.zero}, {self.pointer(step.out, 'r')})"
        )
        return self._each_row([f"saturated |= {call};" if step.watched else f"(void){call};"])

    @_lines.register
    def _quantize_dynamically(self, step: program.QuantizeDynamically) -> list[str]:
        lines = [
            f"const float *x = {self.pointer(step.x, 'r')};",
            "float low = 0.0f, high = 0.0f;",
            f"for (int i = 0; i < {step.size}; i++) {{",
            "    low = x[i] < low ? x[i] : low;",
            "    high = x[i] > high ? x[i] : high;",
            "}",
            "const float scale = high == low ? 1.0f : (high - low) / 255.0f;",
            "const float zero = pp_round(pp_clamp(0.0f - low / scale, 0.0f, 255.0f));",
            f"(void)pp_quantize_{self.suffix}(x, {step.size}, scale, 0.0f - zero, 255.0f - zero, (int32_t)zero, "
            f"{self.pointer(step.out, 'r')});",
            f"{_subscripted(self.pointer(step.scale, 'r'))} = scale;",
            f"{_subscripted(self.pointer(step.zero, 'r'))} = zero;",
        ]
        return self._each_row(lines)

    @_lines.register
    def _lookup(self, step: program.Lookup) -> list[str]:
        kind = C_TYPES[step.x.storage.kind]
        table = self.constants.add("table", np.array(step.table, np.uint8))
        low, high = step.accepted
        watch = []
        full = (-128, 127) if step.x.storage.kind == "int8" else (0, 255)
        if low > full[0]:
            watch.append(f"(x[i] < {low})")
        if high < full[1]:
            watch.append(f"(x[i] > {high})")
        lines = [
            f"const {kind} *x = {self.pointer(step.x, 'r')};",
            f"uint8_t *y = {self.pointer(step.out, 'r')};",
            f"for (int i = 0; i < {step.size}; i++) {{",
            *([f"    saturated |= {' | '.join(watch)};"] if watch else []),
            f"    y[i] = {table}[(uint8_t)x[i]];",
            "}",
        ]
        return self._each_row(lines)

    @_lines.register
    def _dense(self, step: program.Dense) -> list[str]:
        geometry = step.geometry
        call, middle = self._kernel(step)
        run = geometry.run if step.multiplier is None else -(-geometry.run // RUN) * RUN
        shape = f"{geometry.segments}, {geometry.segment_stride}, {run}"
        bias = self.constants.add("bias", self._bias(step))
        weight = self.constants.add("weight", self._weight(step))
        tail = f"{weight}, {bias}{middle}"
        if geometry.rows == 1 and geometry.lines == 1:
            strides = self.stride(step.x.storage), self.stride(step.out.storage)
            x, y = self.pointer(step.x), self.pointer(step.out)
            return [f"{call}({x}, rows, {strides[0]}, {shape}, {tail}, {y}, {strides[1]});"]
        outputs = step.outputs
        x, y = self.pointer(step.x, "r"), self.pointer(step.out, "r")
        if geometry.lines > 1:
            x = f"{x} + line * (ptrdiff_t){geometry.line_stride}"
            y = f"{y} + line * (ptrdiff_t){geometry.rows * outputs}"
        line = f"{call}({x}, {geometry.rows}, {geometry.row_stride}, {shape}, {tail}, {y}, {outputs});"
        if geometry.lines == 1:
            return self._each_row([line])
        return self._each_row([f"for (int line = 0; line < {geometry.lines}; line++)", f"    {line}"])

    def _kernel(self, step: program.Dense) -> tuple[str, str]:
        """The kernel's name, and its arguments from the multipliers to the limits."""
        if step.multiplier is None:
            return f"pp_fdense_{self.suffix}", f", {step.outputs}"
        padded = packing.pack_vector(step.multiplier.astype(np.float32), self.target.layout)
        middle = f", {self.constants.add('multiplier', padded)}, {step.outputs}"
        width = "4" if step.bits == 4 else ""
        if step.limits is None:
            return f"pp_qdense{width}_f32_{self.suffix}", middle
        low, high, zero = step.limits
        return f"pp_qdense{width}_u8_{self.suffix}", f"{middle}, {number(low)}, {number(high)}, {zero}"

    def _bias(self, step: program.Dense) -> Array:
        if step.multiplier is None:
            return packing.pack_vector(step.bias.astype(np.float32), self.target.layout)
        return packing.pack_bias(step.bias.astype(np.int32), step.weight.astype(np.int8), self.target.layout)

    def _weight(self, step: program.Dense) -> Array:
        if step.multiplier is None:
            return packing.pack_float(step.weight.astype(np.float32), self.target.layout)
        pack = packing.pack_int4 if step.bits == 4 else packing.pack_int8
        return pack(step.weight.astype(np.int8), self.target.layout)

    @_lines.register
    def _copy(self, step: program.Copy) -> list[str]:
        kind = C_TYPES[step.x.storage.kind]
        lines = [f"const {kind} *x = {self.pointer(step.x, 'r')};", f"{kind} *y = {self.pointer(step.out, 'r')};"]
        loops = list(step.loops)
        depth = 0
        source, place = [], []
        block = self.target.hosted and loops[-1][1:] == (1, 1) and loops[-1][0] * ITEM_BYTES[step.x.storage.kind] >= 16
        for count, stride, step_out in loops[:-1] if block else loops:
            name = "ijkl"[depth]
            lines.append("    " * depth + f"for (int {name} = 0; {name} < {count}; {name}++)")
            source.append(f"{name} * {stride}")
            place.append(f"{name} * {step_out}")
            depth += 1
        x, y = " + ".join(source) or "0", " + ".join(place) or "0"
        move = f"PP_COPY(y + ({y}), x + ({x}), {loops[-1][0]}u * sizeof *x);" if block else f"y[{y}] = x[{x}];"
        return self._each_row([*lines, "    " * depth + move])

    @_lines.register
    def _gather(self, step: program.Gather) -> list[str]:
        kind = C_TYPES[step.x.storage.kind]
        wide = max(step.index, default=0) > np.iinfo(np.uint16).max
        index = self.constants.add("index", np.array(step.index, np.int32 if wide else np.uint16))
        lines = [
            f"const {kind} *x = {self.pointer(step.x, 'r')};",
            f"{kind} *y = {self.pointer(step.out, 'r')};",
            f"for (int i = 0; i < {len(step.index)}; i++)",
            f"    y[i] = x[{index}[i]];",
        ]
        return self._each_row(lines)

    @_lines.register
    def _fill(self, step: program.Fill) -> list[str]:
        kind = C_TYPES[step.out.storage.kind]
        lines = [
            f"{kind} *y = {self.pointer(step.out, 'r')};",
            f"for (int i = 0; i < {step.size}; i++)",
            f"    y[i] = {number(step.value) if kind == 'float' else step.value};",
        ]
        return self._each_row(lines)

    @_lines.register
    def _pool(self, step: program.Pool) -> list[str]:
        return self._each_row(_pool_lines(step, self.pointer(step.x, "r"), self.pointer(step.out, "r")))

    @_lines.register
    def _reduce(self, step: program.Reduce) -> list[str]:
        combine = {"max": "x[i] > sum ? x[i] : sum", "min": "x[i] < sum ? x[i] : sum"}.get(step.kind, "sum + x[i]")
        result = f"sum / {number(step.count)}" if step.kind == "mean" else "sum"
        lines = [
            f"const float *x = {self.pointer(step.x, 'r')};",
            f"float *y = {self.pointer(step.out, 'r')};",
            f"for (int g = 0; g < {step.size}; g++, x += {step.count}) {{",
            "    float sum = x[0];",
            f"    for (int i = 1; i < {step.count}; i++)",
            f"        sum = {combine};",
            f"    y[g] = {result};",
            "}",
        ]
        return self._each_row(lines)

    @_lines.register
    def _layer_norm(self, step: program.LayerNorm) -> list[str]:
        weight = self.constants.add("norm_weight", step.weight.astype(np.float32))
        bias = self.constants.add("norm_bias", step.bias.astype(np.float32))
        n, count = step.size, number(step.size)
        lines = [
            *_groups(self.pointer(step.x, "r"), self.pointer(step.out, "r"), step.groups, n),
            "    float mean = 0.0f, variance = 0.0f;",
            f"    for (int i = 0; i < {n}; i++)",
            "        mean += x[i];",
            f"    mean /= {count};",
            f"    for (int i = 0; i < {n}; i++)",
            "        variance += (x[i] - mean) * (x[i] - mean);",
            f"    const float scale = 1.0f / pp_sqrt(variance / {count} + {number(step.epsilon)});",
            f"    for (int i = 0; i < {n}; i++)",
            f"        y[i] = (x[i] - mean) * scale * {weight}[i] + {bias}[i];",
            "}",
        ]
        return self._each_row(lines)

    @_lines.register
    def _softmax(self, step: program.Softmax) -> list[str]:
        n = step.size
        lines = [
            *_groups(self.pointer(step.x, "r"), self.pointer(step.out, "r"), step.groups, n),
            "    float high = x[0], sum = 0.0f;",
            f"    for (int i = 1; i < {n}; i++)",
            "        high = x[i] > high ? x[i] : high;",
            f"    for (int i = 0; i < {n}; i++)",
            "        y[i] = pp_exp(x[i] - high);",
            f"    for (int i = 0; i < {n}; i++)",
            "        sum += y[i];",
            f"    for (int i = 0; i < {n}; i++)",
            "        y[i] = y[i] / sum;",
            "}",
        ]
        return self._each_row(lines)

    @_lines.register
    def _argmax(self, step: program.ArgMax) -> list[str]:
        lines = [
            f"const float *x = {self.pointer(step.x, 'r')};",
            f"int32_t *y = {self.pointer(step.out, 'r')};",
            f"for (int g = 0; g < {step.groups}; g++, x += {step.size}) {{",
            "    int32_t best = 0;",
            f"    for (int32_t i = 1; i < {step.size}; i++)",
            f"        best = x[i] {'>=' if step.last else '>'} x[best] ? i : best;",
            "    y[g] = best;",
            "}",
        ]
        return self._each_row(lines)


Render = Callable[[program.Step], list[str]]


def _subscripted(pointer: str) -> str:
    return f"*({pointer})"


def _groups(x: str, y: str, groups: int, size: int) -> list[str]:
    return [
        f"const float *x = {x};",
        f"float *y = {y};",
        f"for (int g = 0; g < {groups}; g++, x += {size}, y += {size}) {{",
    ]


def _pool_lines(step: program.Pool, x: str, y: str) -> list[str]:
    window = step.window
    height, width, channels = window.image
    kind = C_TYPES[step.x.storage.kind]
    maximum = step.kind == "max"
    start = "x[(top * WIDTH + left) * CHANNELS + c]" if maximum else "0.0f"
    combine = "value > sum ? value : sum" if maximum else "sum + value"
    area = f"{window.kernel[0] * window.kernel[1]}" if step.counts_padding else "((bottom - top) * (right - left))"
    result = "sum" if maximum else f"sum / (float){area}"
    lines = [
        f"const {kind} *x = {x};",
        f"{kind} *y = {y};",
        f"for (int i = 0; i < {window.output[0]}; i++)",
        f"    for (int j = 0; j < {window.output[1]}; j++) {{",
        f"        const int first = i * {window.stride[0]} - {window.padding[0]};",
        f"        const int lead = j * {window.stride[1]} - {window.padding[1]};",
        "        const int top = first > 0 ? first : 0, left = lead > 0 ? lead : 0;",
        f"        const int bottom = first + {window.kernel[0]} < {height} ? first + {window.kernel[0]} : {height};",
        f"        const int right = lead + {window.kernel[1]} < {width} ? lead + {window.kernel[1]} : {width};",
        f"        for (int c = 0; c < {channels}; c++) {{",
        f"            {kind} sum = {start};",
        "            for (int a = top; a < bottom; a++)",
        "                for (int b = left; b < right; b++) {",
        f"                    const {kind} value = x[(a * {width} + b) * {channels} + c];",
        f"                    sum = {combine};",
        "                }",
        f"            y[(i * {window.output[1]} + j) * {channels} + c] = {result};",
        "        }",
        "    }",
    ]
    return [line.replace("WIDTH", str(width)).replace("CHANNELS", str(channels)) for line in lines]
