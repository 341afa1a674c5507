"""A Rust crate without the standard library around the C. Its build script calls the C compiler itself."""

from __future__ import annotations

from policypress.export.packages.policy_in_c import Argument, PolicyInC

HOW = """## Use

    cargo test
    cargo add --path PLACE/OF/THIS/FOLDER

`cargo build --target thumbv7em-none-eabihf` wants the C compiler of the target: `CC=arm-none-eabi-gcc
AR=arm-none-eabi-ar
CFLAGS="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"`."""
_TOML = """[package]
name = "@NAME@"
version = "@VERSION@"
edition = "2021"
license = "MIT"
description = "A reinforcement-learning policy: one function from an observation to an action"
build = "build.rs"
links = "@NAME@"

[lib]
doctest = false
"""
_BUILD = """//! Compiles the C with CC, AR and CFLAGS of the environment.
use std::env;
use std::path::PathBuf;
use std::process::Command;

fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let object = out.join("@NAME@.o");
    let flags = env::var("CFLAGS").unwrap_or_default();
    let mut compiler = Command::new(env::var("CC").unwrap_or_else(|_| "cc".into()));
    compiler.args(["-std=gnu99", "-O3", "-ffp-contract=off", "-fPIC"]).args(flags.split_whitespace());
    succeed(compiler.args(["-c", "src/@NAME@.c", "-o"]).arg(&object));
    let archive = out.join("lib@NAME@_c.a");
    succeed(Command::new(env::var("AR").unwrap_or_else(|_| "ar".into())).arg("crs").arg(archive).arg(object));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=@NAME@_c");
    for file in ["src/@NAME@.c", "src/@NAME@.h"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in ["CC", "AR", "CFLAGS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
}
"""
_LIB = """//! A reinforcement-learning policy, written by policypress. The contract is in README.md and contract.json.
#![no_std]

/// A value of the observation was clipped; the action is valid.
pub const SATURATED: i32 = 1;
/// NaN or infinity in the observation; the action was not written.
pub const NOT_FINITE: i32 = 2;
@SIZES@
mod c {
    extern "C" {
        pub fn @CALLED@(@C_PARAMETERS@) -> i32;
    }
}

/// What is not finite has no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// One action. Gives whether a value of the observation was clipped.
///
/// # Errors
/// NaN or infinity in the observation: the action is left as it was.
pub fn act(@PARAMETERS@) -> Result<bool, NotFinite> {
    // SAFETY: the arrays have the sizes that the C reads and writes, and references of Rust do not overlap.
    let status = unsafe { c::@CALLED@(@ARGUMENTS@) };
    if status & NOT_FINITE != 0 {
        return Err(NotFinite);
    }
    Ok(status & SATURATED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts() {
@LOCALS@
        assert!(act(@GIVEN@).is_ok());
    }
}
"""
_TYPES = {"float": "f32", "uint8_t": "u8", "int8_t": "i8", "int32_t": "i32"}


def _size(part: Argument) -> str:
    return f"{part.name.upper()}_SIZE"


def _lib(policy: PolicyInC) -> str:
    """The crate's own text."""
    arrays = (*policy.inputs, policy.action)
    scratch = [Argument("scratch", "uint8_t", policy.scratch_bytes)] if policy.scratch_bytes else []
    written = [*scratch, policy.action]
    ordered = [*scratch, *policy.inputs, policy.action]
    mutable = {part.name for part in written}

    def reference(part: Argument) -> str:
        return f"{part.name}: &{'mut ' if part.name in mutable else ''}[{_TYPES[part.kind]}; {_size(part)}]"

    def raw(part: Argument) -> str:
        return f"{part.name}: *{'mut' if part.name in mutable else 'const'} {_TYPES[part.kind]}"

    zero = {"float": "0.0", "uint8_t": "0", "int8_t": "0", "int32_t": "0"}
    return policy.filled(
        _LIB,
        SIZES="".join(f"pub const {_size(part)}: usize = {part.size};\n" for part in (*scratch, *arrays)),
        CALLED=f"{policy.name}_act_with" if scratch else f"{policy.name}_act",
        C_PARAMETERS=", ".join(map(raw, ordered)),
        PARAMETERS=", ".join(map(reference, ordered)),
        ARGUMENTS=", ".join(f"{part.name}.as_{'mut_ptr' if part.name in mutable else 'ptr'}()" for part in ordered),
        LOCALS="\n".join(
            f"        let {'mut ' if part.name in mutable else ''}{part.name} = [{zero[part.kind]}; {_size(part)}];"
            for part in ordered
        ),
        GIVEN=", ".join(f"&{'mut ' if part.name in mutable else ''}{part.name}" for part in ordered),
    )


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The crate's files, by path."""
    return {
        "Cargo.toml": policy.filled(_TOML).encode(),
        "build.rs": policy.filled(_BUILD).encode(),
        "src/lib.rs": _lib(policy).encode(),
        **{f"src/{name}": content for name, content in policy.sources.items()},
    }
