//! The spine: a model gives its state at every depth, and one shared head reads it.
//!
//! Hidden states are 2-D, `[batch * width, d_model]`, because every linear layer wants them so: on the
//! CPU backend a 3-D input costs a copy of the weight at each call. A [`Stream`] carries the shape that
//! the flat state no longer shows.

mod batch;
mod dropout;
mod model;
mod stream;

pub use self::batch::Batch;
pub use self::dropout::DropoutKey;
pub(crate) use self::dropout::dropout_at;
pub use self::model::{Backbone, Decoder, ExitModel, Sublayer, WeightBytes};
pub use self::stream::{Block, Memory, Placement, Stream};
