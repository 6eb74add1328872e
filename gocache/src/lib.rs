//! Go build cache and module cache as data.
