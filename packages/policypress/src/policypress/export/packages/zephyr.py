"""A Zephyr module with a sample application."""

from __future__ import annotations

from policypress.export.packages.policy_in_c import PolicyInC

HOW = """## Use

`west build -b BOARD samples/act -- -DEXTRA_ZEPHYR_MODULES=$PWD` builds the sample. In an application of your own,
name this
folder as a module and set `CONFIG_@MACRO@=y`."""
_MODULE = """name: @NAME@
build:
  cmake: .
  kconfig: Kconfig
"""
_LIST = """if(CONFIG_@MACRO@)
  zephyr_library()
  zephyr_library_sources(@NAME@.c)
  zephyr_library_compile_options(-O2 -ffp-contract=off)
  zephyr_include_directories(.)
endif()
"""
_KCONFIG = """config @MACRO@
	bool "The reinforcement-learning policy @NAME@"
"""
_SAMPLE_LIST = """cmake_minimum_required(VERSION 3.20.0)
find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})
project(act)
target_sources(app PRIVATE src/main.c)
"""
_CONFIG = """CONFIG_@MACRO@=y
CONFIG_CBPRINTF_FP_SUPPORT=y
"""
_MAIN = """/* Acts once in each period. Put the sensors' values where it says so, and send the action to your
motors. */
#include <zephyr/kernel.h>

#include "@NAME@.h"

@DECLARED@

int main(void)
{
    for (;;) {
        /* Here the sensors are read into the arrays above, in the order and units of the contract. */
        const int status = @CALL@;
        if (status & @MACRO@_NOT_FINITE)
            printk("an observation is not finite: the action was not written\\n");
        else
            printk("%g\\n", (double)@ACTION@[0]);
        k_msleep(20);
    }
    return 0;
}
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The module's files, by path."""
    templates = {
        "zephyr/module.yml": _MODULE,
        "CMakeLists.txt": _LIST,
        "Kconfig": _KCONFIG,
        "samples/act/CMakeLists.txt": _SAMPLE_LIST,
        "samples/act/prj.conf": _CONFIG,
        "samples/act/src/main.c": _MAIN,
    }
    return {**{path: policy.filled(text).encode() for path, text in templates.items()}, **policy.sources}
