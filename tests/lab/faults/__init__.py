"""What breaks, in a lab of its own: the fleet walked through its phases, over and over, with something failing each time."""
