//! Schemas: subjects, versions and compatibility.
