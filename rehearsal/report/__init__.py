"""What a rehearsal leaves behind: report.json, and report.html, one page without network that is made from it."""
