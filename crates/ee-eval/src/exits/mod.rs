//! What traces say of exits, with no model loaded: ideal exits, gates at every threshold, scores.

pub mod binomial;
pub mod constant;
pub mod ideal;
pub mod oracle;
pub mod paired;
pub mod plots;
pub mod score;
pub mod sweep;
