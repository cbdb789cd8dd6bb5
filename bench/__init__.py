"""Speed of lwt beside the installed comparable programs: `make bench`."""
