//! Bindings generated from the contract in `connect/wit`.
//!
//! Types and capabilities are generated once; the two worlds refer to them.

#![allow(clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications, missing_docs)]

/// The types and the capabilities that the host provides.
pub mod capabilities {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "capabilities",
        with: {
            "mainstem:connect/files.reader": crate::sandbox::files::ReadHandle,
            "mainstem:connect/files.writer": crate::sandbox::files::WriteHandle,
        },
    });
}

/// A component that brings data in.
pub mod source {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sourcer",
        with: { "mainstem:connect": super::capabilities::mainstem::connect },
    });
}

/// A component that takes data out.
pub mod sink {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sinker",
        with: { "mainstem:connect": super::capabilities::mainstem::connect },
    });
}

/// The description alone, as every component has it.
pub mod described {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "described",
        with: { "mainstem:connect": super::capabilities::mainstem::connect },
    });
}
