"""Speed, side by side with the peers that are installed: `make bench`."""
