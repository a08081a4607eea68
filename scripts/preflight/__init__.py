"""What would hurt in the window, looked for on all servers at once while there is time."""
