"""A CMake project: a library that others find, an example, and the self-test."""

from __future__ import annotations

from policypress.export.packages.policy_in_c import PolicyInC

HOW = """## Use

    cmake -S . -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build && ctest --test-dir build
    cmake --install build --prefix PLACE

In another project: `add_subdirectory(@NAME@)` or `find_package(@NAME@)`, then `target_link_libraries(robot
@NAME@::@NAME@)`."""
_LIST = """cmake_minimum_required(VERSION 3.16)
project(@NAME@ VERSION @VERSION@ LANGUAGES C)
include(GNUInstallDirs)

add_library(@NAME@ STATIC src/@NAME@.c)
add_library(@NAME@::@NAME@ ALIAS @NAME@)
set_target_properties(@NAME@ PROPERTIES C_STANDARD 99 C_EXTENSIONS ON POSITION_INDEPENDENT_CODE ON)
target_compile_options(@NAME@ PRIVATE $<$<NOT:$<C_COMPILER_ID:MSVC>>:-O3 -ffp-contract=off>)
target_include_directories(@NAME@ PUBLIC
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

add_executable(@NAME@_example example/main.c)
target_link_libraries(@NAME@_example PRIVATE @NAME@)

enable_testing()
add_executable(@NAME@_selftest src/@NAME@.c)
target_compile_definitions(@NAME@_selftest PRIVATE @MACRO@_SELFTEST)
target_compile_options(@NAME@_selftest PRIVATE $<$<NOT:$<C_COMPILER_ID:MSVC>>:-O2 -ffp-contract=off>)
add_test(NAME selftest COMMAND @NAME@_selftest)

install(TARGETS @NAME@ EXPORT @NAME@Targets)
install(FILES src/@NAME@.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT @NAME@Targets NAMESPACE @NAME@:: FILE @NAME@Config.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/@NAME@)
"""
_MAIN = """/* One action of an observation of zeros. */
#include <stdio.h>

#include "@NAME@.h"

@DECLARED@

int main(void)
{
    const int status = @CALL@;
    for (int i = 0; i < @ACTION_SIZE@; i++)
        printf("%.9g\\n", (double)@ACTION@[i]);
    return status & @MACRO@_NOT_FINITE;
}
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The project's files, by path."""
    return {
        "CMakeLists.txt": policy.filled(_LIST).encode(),
        "example/main.c": policy.filled(_MAIN).encode(),
        **{f"src/{name}": content for name, content in policy.sources.items()},
    }
