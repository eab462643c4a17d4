//! Bindings generated from the contract in `connect/wit`. Nobody but the adapters and the export
//! macros should need them.
//!
//! The types and the capabilities are generated once, in this module; the exported parts refer to
//! them, so that a batch is the same type in a source and in a sink. A component is the description
//! and one part; the linker joins them.

#![allow(clippy::all, clippy::pedantic, missing_docs, unsafe_code)]

wit_bindgen::generate!({
    path: "../wit",
    world: "capabilities",
    generate_all,
});

/// What every component exports.
pub mod plugin {
    wit_bindgen::generate!({
        path: "../wit",
        world: "described",
        pub_export_macro: true,
        export_macro_name: "export_described",
        default_bindings_module: "mainstem_connect_sdk::bindings::plugin",
        with: {
            "mainstem:connect/types@0.1.0": crate::bindings::mainstem::connect::types,
        },
    });
}

/// The part of a component that brings data in.
pub mod source {
    wit_bindgen::generate!({
        path: "../wit",
        world: "source-part",
        pub_export_macro: true,
        export_macro_name: "export_source_part",
        default_bindings_module: "mainstem_connect_sdk::bindings::source",
        with: {
            "mainstem:connect/types@0.1.0": crate::bindings::mainstem::connect::types,
            "mainstem:connect/log@0.1.0": crate::bindings::mainstem::connect::log,
            "mainstem:connect/metrics@0.1.0": crate::bindings::mainstem::connect::metrics,
            "mainstem:connect/clock@0.1.0": crate::bindings::mainstem::connect::clock,
            "mainstem:connect/context@0.1.0": crate::bindings::mainstem::connect::context,
            "mainstem:connect/state@0.1.0": crate::bindings::mainstem::connect::state,
            "mainstem:connect/files@0.1.0": crate::bindings::mainstem::connect::files,
        },
    });
}

/// The part of a component that takes data out.
pub mod sink {
    wit_bindgen::generate!({
        path: "../wit",
        world: "sink-part",
        pub_export_macro: true,
        export_macro_name: "export_sink_part",
        default_bindings_module: "mainstem_connect_sdk::bindings::sink",
        with: {
            "mainstem:connect/types@0.1.0": crate::bindings::mainstem::connect::types,
            "mainstem:connect/log@0.1.0": crate::bindings::mainstem::connect::log,
            "mainstem:connect/metrics@0.1.0": crate::bindings::mainstem::connect::metrics,
            "mainstem:connect/clock@0.1.0": crate::bindings::mainstem::connect::clock,
            "mainstem:connect/context@0.1.0": crate::bindings::mainstem::connect::context,
            "mainstem:connect/files@0.1.0": crate::bindings::mainstem::connect::files,
        },
    });
}
