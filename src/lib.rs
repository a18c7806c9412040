//! Gannet.
