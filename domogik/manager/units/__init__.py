"""The declared units of systemd of this host."""
