//! What the project promises about its own sources: floors, no circles, sizes, where `unsafe` stands.

mod circles;
mod floors;
mod modules;
mod sizes;
mod source;
mod unsafe_code;
