# Finds a compiler for wasm32-unknown-unknown; sourced by build.sh. Two ways:
#
# 1. rustup has the target installed: its rustc, its bundled linker.
# 2. Debian's rustc-web, cargo-web and rust-web-src with lld: a full compiler whose standard library for the target
#    sysroot.sh builds once. This is the way of a machine that reaches Debian's mirror and the crate registry only.
#
# In both ways `wasm-component-ld` is the linker, so that cargo's output is a finished component.

find_rustup() {
    local home triple
    home=$(rustc --print sysroot 2>/dev/null) || return 1
    triple=$(rustc -vV | sed -n 's/^host: //p')
    [ -d "$home/lib/rustlib/$target/lib" ] || return 1
    [ -x "$home/lib/rustlib/$triple/bin/wasm-component-ld" ] || return 1
    rustc=$home/bin/rustc cargo=$(command -v cargo)
    linker=$home/lib/rustlib/$triple/bin/wasm-component-ld
    wasm_ld=$home/lib/rustlib/$triple/bin/gcc-ld/wasm-ld
    [ -x "$wasm_ld" ] || wasm_ld=
    sysroot=
}

find_debian() {
    linker=$(ls /usr/lib/rustlib/*-unknown-linux-gnu/bin/wasm-component-ld 2>/dev/null | head -n 1)
    [ -n "$linker" ] && [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/wasm-ld ] || return 1
    [ -d /usr/lib/rustlib/src/rust/library ] || [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ] || return 1
    rustc=/usr/bin/rustc cargo=/usr/bin/cargo wasm_ld=/usr/bin/wasm-ld
    # A standard library belongs to exactly one compiler build.
    sysroot=$cache/wasm-sysroot/$("$rustc" -vV | sha256sum | cut -c1-16)
}

if ! find_rustup && ! find_debian; then
    packages="rustc-web cargo-web rust-web-src lld"
    say "connectors are WebAssembly components and need a compiler for $target, which is not here"
    if command -v rustup >/dev/null && rustup target add $target 2>/dev/null && find_rustup; then
        say "added the target to rustup"
    elif command -v apt-get >/dev/null; then
        say "installing Debian's $packages: a compiler with that target and its linker"
        as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >&2
        find_debian || { say "the packages are installed, but no usable compiler was found"; exit 1; }
    else
        say "install it with 'rustup target add $target', or on Debian with 'apt-get install $packages'"
        exit 1
    fi
fi
