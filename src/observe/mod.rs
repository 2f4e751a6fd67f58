//! The cache of every object's children, filled by the watches and reduced to what decisions need.

mod blocked;
mod cache;
mod child;
mod children;
mod external;
mod fields;
mod route;
mod settings;
mod state;
mod watch;

pub use cache::Cache;
pub use child::{ObservedChild, controller};
pub use children::Children;
pub use external::ExternalAutoscaler;
#[cfg(test)]
pub(crate) use fields::tests::entry as owned_entry;
pub(crate) use fields::{APPLY, UPDATE, is_key_of, is_ours};
pub use route::RouteState;
pub use state::*;
pub use watch::{Enqueue, Scope, WATCH_SECONDS, watch, watch_children};

use crate::kinds::Kind;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// A kind of child.
    Child(Kind),
    /// The pods of children.
    Pod,
}

#[cfg(test)]
mod tests;
