//! What traces say about exits, with no model loaded: ideal exits, gates at every threshold, scores.

pub(crate) mod binomial;
pub(crate) mod constant;
pub(crate) mod ideal;
pub(crate) mod oracle;
pub(crate) mod paired;
pub(crate) mod plots;
pub(crate) mod score;
pub(crate) mod sweep;
