"""The config of a stack, read from EC2: what can be found out is asked of nobody."""
