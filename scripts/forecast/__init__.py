"""The forecast: how long writes will be refused, from the windows that were, and from how much there is to upgrade now."""
