"""The bench: what pgleap costs beside what an expert does by hand, and beside other tools, in one run on one lab."""
