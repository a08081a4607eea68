"""The lab's servers: one root image, a network, ten hosts booted by systemd, and PostgreSQL on three of them."""
