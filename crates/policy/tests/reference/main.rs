//! The evaluator against a naive one, and the properties of the policy semantics, on random worlds and calls.
//!
//! `PROPTEST_CASES` sets how many worlds each property sees; each world is asked thirty calls.

#[cfg(test)]
mod build;
#[cfg(test)]
mod evaluator;
#[cfg(test)]
mod explanations;
#[cfg(test)]
mod matchers;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod worlds;
