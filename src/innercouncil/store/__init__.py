"""What is kept: the workspace's files, each whole or absent, council.db with its copies, and the cache of vectors."""
