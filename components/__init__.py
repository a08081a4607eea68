"""What the Pulumi program declares; one noun a file."""
