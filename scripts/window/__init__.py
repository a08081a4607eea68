"""The window in one go: readonly, upgrade, cutover; and back to prepare by itself if anything fails before DB_A opened."""
