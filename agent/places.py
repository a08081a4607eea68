"""Where the two programs are installed and keep their files: known without loading what is done there."""

from __future__ import annotations

INSTALLED = "/usr/local/lib/pgleap/agent.pyz"
INSTALLED_FOR_REHEARSAL = "/usr/local/lib/pgleap-rehearsal/agent.pyz"
FOLDER_OF_REHEARSAL = "/var/lib/pgleap-rehearsal"
