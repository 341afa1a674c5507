"""Every kind of package is built as its README says, against stand-ins for absent frameworks, and acts alike."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_policies import mixed, mlp, observations_of, quantized

from policypress.cli.completion import PACKAGES as OFFERED
from policypress.export.form import Form
from policypress.export.packages.registry import PACKAGES, package_name, publish_package
from policypress.export.publish import ProvenArtifact, prove
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import SourceNames
from policypress_runtime.errors import InputError, OutputError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

ROOT = Path(__file__).resolve().parents[3]
MARK = "ZQX"
# What would end a comment, a string, a tag, a heredoc or a line in one of the files, were it written as it is.
HOSTILE = f"{MARK}\"]}}\\, */ {MARK} <b>'$(x)`x`, ?>-->{MARK} #"
ARDUINO = """#include <cstdio>
struct Port {
    void begin(long) {}
    template <typename T> void print(T value) { std::printf("%.9g", (double)value); }
    void print(char value) { std::putchar(value); }
};
static Port Serial;
static unsigned long millis() { static unsigned long now = 0; return now += 20; }
void setup();
void loop();
int main() { setup(); loop(); return 0; }
"""
FREERTOS = """#include <stdlib.h>
#include <stdint.h>
typedef uint32_t TickType_t;
#define pdMS_TO_TICKS(ms) (ms)
static inline TickType_t xTaskGetTickCount(void) { return 0; }
static inline void vTaskDelayUntil(TickType_t *woken, TickType_t ticks) { (void)woken, (void)ticks; exit(0); }
"""
ZEPHYR = """#include <stdio.h>
#include <stdlib.h>
#define printk printf
static inline void k_msleep(int ms) { (void)ms; exit(0); }
"""


@pytest.fixture(scope="module")
def made() -> tuple[ProvenArtifact, Any, np.ndarray]:
    """An artifact whose source says hostile things, its observations, and its action of zeros."""
    plain = mlp()
    observations = observations_of(plain.observation_space, 60)
    policy = quantized(plain, observations)
    size = 3
    metadata = (("joint_names", ",".join([HOSTILE.replace(",", " ")] * size)), ("note", HOSTILE))
    names = SourceNames((HOSTILE[:20],), "a", metadata)
    contract = replace(contract_of(policy, "int8", "", "int8", "0"), source=names)
    proven = prove(to_onnx(policy), contract, policy, observations)
    zeros = OnnxRuntime(proven.model).run_batch(np.zeros((1, 5), np.float32))["action"][0]
    return proven, observations, zeros


def built(*command: str | Path, folder: Path) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def package(made: Any, kind: str, folder: Path) -> Path:
    publish_package(made[0], made[1], folder, Form(package=kind))
    return folder


def near(printed: str, wanted: np.ndarray) -> bool:
    return bool(np.allclose([float(word) for word in printed.split()][: len(wanted)], wanted, atol=1e-6))


def test_the_shell_offers_them() -> None:
    assert tuple(PACKAGES) == OFFERED


def test_cmake(made: Any, tmp_path: Path) -> None:
    folder = package(made, "cmake", tmp_path / "gait")
    built("cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release", folder=folder)
    built("cmake", "--build", "build", folder=folder)
    built("ctest", "--test-dir", "build", folder=folder)
    assert near(built(folder / "build" / "gait_policy_example", folder=folder), made[2])
    built("cmake", "--install", "build", "--prefix", tmp_path / "place", folder=folder)
    assert (tmp_path / "place" / "include" / "gait_policy.h").is_file()


def test_cargo(made: Any, tmp_path: Path) -> None:
    assert "1 passed" in built("cargo", "test", "--offline", folder=package(made, "cargo", tmp_path / "type"))


def test_npm(made: Any, tmp_path: Path) -> None:
    for tool in ("clang", "wasm-ld", "node"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = package(made, "npm", tmp_path / "gait")
    script = """import { load } from "./index.js"; const policy = await load();
    console.log(Array.from(policy.act(new Float32Array(5)).action).join(" "));
    for (const wrong of [[NaN, 0, 0, 0, 0], [1]]) 
      try { policy.act(wrong); console.log("?") } catch (e) { console.log(e.name) }"""
    lines = built("node", "--input-type=module", "-e", script, folder=folder).splitlines()
    assert near(lines[0], made[2])
    assert lines[1:] == ["RangeError", "RangeError"]
    assert json.loads((folder / "package.json").read_text())["name"] == "gait-policy"


@pytest.mark.parametrize("kind", ["arduino", "platformio"])
def test_arduino_and_platformio(made: Any, kind: str, tmp_path: Path) -> None:
    folder = package(made, kind, tmp_path / "gait")
    sources = folder / ("src" if kind == "arduino" else "lib/gait_policy/src")
    sketch = folder / ("examples/Act/Act.ino" if kind == "arduino" else "src/main.cpp")
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    built("gcc", "-std=gnu11", "-c", sources / "gait_policy.c", "-o", "policy.o", folder=tmp_path)
    built(
        "g++",
        "-I",
        tmp_path,
        "-I",
        sources,
        "-x",
        "c++",
        sketch,
        "-x",
        "none",
        "policy.o",
        "-o",
        "act",
        folder=tmp_path,
    )
    assert near(built(tmp_path / "act", folder=tmp_path), made[2])
    if kind == "arduino":
        properties = dict(line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines())
        assert properties["name"] == "gait_policy"
        built("avr-gcc", "-mmcu=atmega2560", "-std=gnu11", "-Os", "-c", sources / "gait_policy.c", folder=tmp_path)


def test_esp_idf(made: Any, tmp_path: Path) -> None:
    folder = package(made, "esp-idf", tmp_path / "gait")
    (tmp_path / "freertos").mkdir()
    (tmp_path / "freertos" / "FreeRTOS.h").write_text(FREERTOS)
    (tmp_path / "freertos" / "task.h").write_text("")
    (tmp_path / "start.c").write_text("void app_main(void);\nint main(void) { app_main(); }\n")
    parts = folder / "components" / "gait_policy"
    files = [folder / "main" / "main.c", parts / "gait_policy.c", "start.c"]
    built("gcc", "-std=gnu11", "-I", tmp_path, "-I", parts, *files, "-o", "act", folder=tmp_path)
    assert near(built(tmp_path / "act", folder=tmp_path), made[2][:1])
    assert yaml.safe_load((parts / "idf_component.yml").read_text())["license"] == "MIT"


def test_zephyr(made: Any, tmp_path: Path) -> None:
    folder = package(made, "zephyr", tmp_path / "gait")
    (tmp_path / "zephyr").mkdir()
    (tmp_path / "zephyr" / "kernel.h").write_text(ZEPHYR)
    files = [folder / "samples" / "act" / "src" / "main.c", folder / "gait_policy.c"]
    built("gcc", "-std=gnu11", "-I", tmp_path, "-I", folder, *files, "-o", "act", folder=tmp_path)
    assert near(built(tmp_path / "act", folder=tmp_path), made[2][:1])
    assert yaml.safe_load((folder / "zephyr" / "module.yml").read_text())["name"] == "gait_policy"


def test_ros2(made: Any, tmp_path: Path) -> None:
    folder = package(made, "ros2", tmp_path / "gait")
    stand_ins = ROOT / "tests" / "examples" / "stand_ins"
    built("gcc", "-std=gnu11", "-O1", "-c", folder / "src" / "gait_policy.c", "-o", "policy.o", folder=tmp_path)
    node = folder / "src" / "gait_policy_node.cpp"
    built("g++", "-std=c++17", "-isystem", stand_ins, node, "policy.o", "-o", "node", folder=tmp_path)
    done = subprocess.run([tmp_path / "node"], input="0 0 0 0 0\n1 2\n", capture_output=True, text=True, timeout=60)
    words = done.stdout.split()
    assert words[0] == "action"
    assert np.allclose([float.fromhex(word) for word in words[1:]], made[2], atol=1e-6)
    assert "2 values instead of 5" in done.stderr
    assert ElementTree.parse(folder / "package.xml").getroot().findtext("name") == "gait_policy"
    ast.parse((folder / "launch" / "gait_policy.launch.py").read_text())
    said = yaml.safe_load((folder / "config" / "gait_policy.yaml").read_text())["gait_policy"]["ros__parameters"]
    assert len(said["joint_names"]) == 3
    assert said["joint_names"][0] == HOSTILE.replace(",", " ")


@pytest.mark.parametrize("kind", PACKAGES)
def test_foreign_text_stands_where_it_may_alone(made: Any, kind: str, tmp_path: Path) -> None:
    if kind == "npm" and shutil.which("wasm-ld") is None:
        pytest.skip("lld is not installed")
    folder = package(made, kind, tmp_path / "gait")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", "LICENSE", "contract.json"} <= set(files)
    where = {name for name, content in files.items() if MARK.encode() in content}
    header = {name for name in files if name.endswith(".h")}
    # npm has the C as a module, and no header.
    assert where == {"README.md", "contract.json", *header, *(name for name in files if name.startswith("config/"))}
    readme = files["README.md"].decode()
    assert not set("<>`\\*") & {c for line in readme.splitlines() if MARK in line for c in line}
    assert all(line.startswith("    ") for line in readme.splitlines() if MARK in line)
    assert json.loads(files["contract.json"])["source"]["metadata"]["note"].startswith(MARK)
    assert "@" not in readme.replace("@example", "")


def test_a_folder_that_holds_something_is_left_alone(made: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OutputError, match="folder of its own"):
        package(made, "cmake", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(InputError, match=r"docker[\s\S]*cargo"):
        package(made, "docker", tmp_path / "new")
    (tmp_path / "empty").mkdir()
    assert (package(made, "cmake", tmp_path / "empty") / "README.md").is_file()


def test_a_node_takes_one_array(tmp_path: Path) -> None:
    plain = mixed()
    observations = observations_of(plain.observation_space, 60)
    proven = prove(to_onnx(plain), contract_of(plain, "none", "", "fp32", "0"), plain, observations)
    with pytest.raises(InputError, match=r"one array of floats[\s\S]*--package cmake"):
        publish_package(proven, observations, tmp_path / "robot", Form(package="ros2"))
    assert not (tmp_path / "robot").exists()
    folder = package((proven, observations), "cargo", tmp_path / "robot")
    assert "1 passed" in built("cargo", "test", "--offline", folder=folder)


@pytest.mark.parametrize("name", ["fn", "type", "3", "a b", "Policy", "int.h", "ünï"])
def test_names_are_ours(name: str) -> None:
    found = package_name(Path(name))
    assert found.isidentifier()
    assert found.isascii()
    assert found.endswith("_policy")
