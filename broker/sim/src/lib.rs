//! A deterministic world for the machines: disk, network and clock from one seed.
