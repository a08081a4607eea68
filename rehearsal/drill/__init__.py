"""The drill: the fleet walked through its phases, over and over, with something failing each time, and every way back practised."""
