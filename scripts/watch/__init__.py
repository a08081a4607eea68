"""An operator's live meter: reads, and writes if asked, through each database name from where it runs."""
