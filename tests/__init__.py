"""The tests of lwt; run them with `make test`."""
