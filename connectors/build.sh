#!/usr/bin/env bash
# Builds every connector of this folder into a WebAssembly component without WASI imports.
#
#   connectors/build.sh [OUT_DIR]        default OUT_DIR: target/plugins of the checkout
#
# Components are kept in a cache under the hash of everything they are made of (sources, SDK, contract, this script,
# compiler), so an unchanged tree costs one hash, and two checkouts may share one cache.
#
#   MAINSTEM_CACHE   where toolchain, build tree and finished components are kept (default ~/.cache/mainstem)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
out=${1:-$root/target/plugins}
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
target=wasm32-unknown-unknown
connectors=(file-source file-sink)

say() { echo "connectors: $*" >&2; }

# Sets rustc, cargo, linker, wasm_ld and sysroot (empty: the compiler knows the target by itself).
. "$here/toolchain/find.sh"

digest() {
    {
        "$rustc" -vV
        cd "$root"
        find connectors connect/sdk connect/wit -type f \
            \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.wit' -o -name '*.sh' \) \
            -not -path '*/target/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-16
}

install_components() {
    mkdir -p "$out"
    for name in "${connectors[@]}"; do
        # An unchanged file keeps its time, so a running worker sees no new plugin.
        cmp -s "$1/$name.wasm" "$out/$name.wasm" || { cp "$1/$name.wasm" "$out/.$name.new" && mv "$out/.$name.new" "$out/$name.wasm"; }
    done
}

stamp=$(digest)
store=$cache/components/$stamp
if [ -f "$store/complete" ]; then
    install_components "$store"
    exit 0
fi

[ -z "$sysroot" ] || "$here/toolchain/sysroot.sh" "$sysroot"

say "building ${connectors[*]} with $("$rustc" --version)"
flags="-C target-feature=+simd128 --remap-path-prefix=$root=/src --remap-path-prefix=$HOME/.cargo=/cargo"
[ -z "$wasm_ld" ] || flags="$flags -C link-arg=--wasm-ld-path=$wasm_ld"
[ -z "$sysroot" ] || flags="--sysroot $sysroot $flags"
# Flags of the caller's own builds must not reach the guests.
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER \
    RUSTC="$rustc" CARGO_TARGET_DIR="$cache/wasm-target" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="$flags" \
    "$cargo" build --release --locked --target $target --manifest-path "$here/Cargo.toml"

mkdir -p "$store"
for name in "${connectors[@]}"; do
    cp "$cache/wasm-target/$target/release/${name//-/_}.wasm" "$store/$name.wasm"
done
touch "$store/complete"
install_components "$store"
say "components are in $out"
