//! What runs a compiled Gannet program: devices, arrays at the edge, files and threads.

pub mod device;
