"""An ESP-IDF project whose component holds the policy."""

from __future__ import annotations

from policypress.export.packages.policy_in_c import PolicyInC

HOW = """## Use

`idf.py set-target esp32c3` (or esp32), then `idf.py build flash monitor`. The policy is the component
`components/@NAME@`;
copy it into your own project."""
_PROJECT = """cmake_minimum_required(VERSION 3.16)
include($ENV{IDF_PATH}/tools/cmake/project.cmake)
project(@NAME@_example)
"""
_COMPONENT = """idf_component_register(SRCS "@NAME@.c" INCLUDE_DIRS ".")
target_compile_options(${COMPONENT_LIB} PRIVATE -O2 -ffp-contract=off)
"""
_MANIFEST = """version: "@VERSION@"
description: A reinforcement-learning policy
license: MIT
"""
_MAIN_LIST = """idf_component_register(SRCS "main.c" REQUIRES @NAME@)
"""
_MAIN = """/* Acts once in each period. Put the sensors' values where it says so, and send the action to your
motors. */
#include <stdio.h>

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include "@NAME@.h"

@DECLARED@

void app_main(void)
{
    TickType_t woken = xTaskGetTickCount();
    for (;;) {
        /* Here the sensors are read into the arrays above, in the order and units of the contract. */
        const int status = @CALL@;
        if (status & @MACRO@_NOT_FINITE)
            printf("an observation is not finite: the action was not written\\n");
        else
            printf("%g\\n", (double)@ACTION@[0]);
        vTaskDelayUntil(&woken, pdMS_TO_TICKS(20));
    }
}
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The project's files, by path."""
    component = f"components/{policy.name}"
    return {
        "CMakeLists.txt": policy.filled(_PROJECT).encode(),
        "main/CMakeLists.txt": policy.filled(_MAIN_LIST).encode(),
        "main/main.c": policy.filled(_MAIN).encode(),
        f"{component}/CMakeLists.txt": policy.filled(_COMPONENT).encode(),
        f"{component}/idf_component.yml": policy.filled(_MANIFEST).encode(),
        **{f"{component}/{name}": content for name, content in policy.sources.items()},
    }
