//! The place of the cluster: reflectors that feed the same [`crate::pipeline`] as the folder does, the lease of the
//! replica that writes status, and `TokenReview` in place of token files. Nothing here yet.
