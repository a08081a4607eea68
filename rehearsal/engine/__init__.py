"""Gets the Pulumi engine, and drives its command line as an operator would."""
