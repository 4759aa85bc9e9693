//! Hostile custom resources, written by a user with rights in one namespace.
