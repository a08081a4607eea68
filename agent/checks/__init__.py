"""What is looked for before the window, a module a subject; `catalogue` holds them all."""
