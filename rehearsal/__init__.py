"""The lab: everything that rehearses an upgrade. The product never imports it."""
