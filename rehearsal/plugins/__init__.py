"""Stand-ins for the plugins that cannot be had offline, over the SDK's own protocol classes."""
