#!/usr/bin/env bash
# Builds the standard library for wasm32-unknown-unknown once and lays it out as a sysroot for Debian's rustc.
#
#   sysroot.sh SYSROOT_DIR          about a minute; a finished sysroot is left alone
set -euo pipefail
sysroot=$1
target=wasm32-unknown-unknown
[ ! -f "$sysroot/complete" ] || exit 0

echo "connectors: building the standard library for $target, once (about a minute)" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
: >"$work/src/lib.rs"
cat >"$work/Cargo.toml" <<'MANIFEST'
[workspace]
[package]
name = "standard-library"
version = "0.0.0"
edition = "2024"
[profile.release]
panic = "abort"
opt-level = 3
codegen-units = 1
MANIFEST
# Bitcode stays in, so that a guest is optimised together with the library when it is linked.
env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER \
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
    /usr/bin/cargo build --quiet --release -Z build-std=std,panic_abort --target $target --manifest-path "$work/Cargo.toml"

new=$sysroot.new
rm -rf "$new"
mkdir -p "$new/lib/rustlib/$target/lib"
cp "$work/target/$target/release/deps/"*.rlib "$new/lib/rustlib/$target/lib/"
rm -f "$new/lib/rustlib/$target/lib/"libstandard_library-*.rlib
# Procedural macros of a guest run on the host: its own libraries are needed beside.
for host in /usr/lib/rustlib/*-unknown-linux-gnu; do
    ln -s "$host" "$new/lib/rustlib/$(basename "$host")"
done
touch "$new/complete"
rm -rf "$sysroot"
mv "$new" "$sysroot"
