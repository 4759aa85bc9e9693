//! End-to-end tests on a real cluster: helm, kubectl and the API as a user has them.
