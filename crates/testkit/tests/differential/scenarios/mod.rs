//! What is played, by subject.

mod delegations;
mod downloads;
mod freshness;
mod honest;
mod keys;
mod lists;
mod names;
mod roots;
mod shapes;
mod signatures;

use crate::run::Scenario;

/// A module's scenarios: each a function of its own, named by the module and itself.
macro_rules! scenarios {
    ($($(#[$doc:meta])* fn $name:ident($run:ident) $body:block)*) => {
        /// The scenarios of this module.
        pub(super) fn all() -> Vec<$crate::run::Scenario> {
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::run::Scenario {
                name: format!("{module}::{}", stringify!($name)),
                play: Box::new($name),
            }),*]
        }
        $($(#[$doc])* fn $name($run: &mut $crate::run::Run<'_>) $body)*
    };
}
use scenarios;

/// Every scenario.
pub(crate) fn all() -> Vec<Scenario> {
    let modules = [
        honest::all(),
        roots::all(),
        freshness::all(),
        lists::all(),
        signatures::all(),
        keys::all(),
        delegations::all(),
        names::all(),
        shapes::all(),
        downloads::all(),
    ];
    modules.into_iter().flatten().collect()
}
