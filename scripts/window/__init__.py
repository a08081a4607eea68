"""The window in one go: readonly, upgrade, cutover; and back to prepare by itself if anything fails before DB_A opened."""

import time

# When the command began, by the monotonic clock: what it imports takes part of a second, and that is waited for too.
BEGAN = time.monotonic()

# The exit status of a command that did nothing.
NOTHING_DONE = 2
