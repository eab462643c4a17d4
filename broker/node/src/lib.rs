//! A whole broker as one machine.
