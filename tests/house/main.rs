//! What the project promises about its own sources: floors, no circles, names in one place, sizes, where
//! `unsafe` stands.

mod circles;
mod floors;
mod modules;
mod names;
mod reached;
mod sizes;
mod source;
mod unsafe_code;
