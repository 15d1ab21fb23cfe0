//! The only HTTP client: refreshes trust in a repository and downloads what it lists.
