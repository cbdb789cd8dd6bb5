# The beginning of a short script, which answers once.
read_opening
frame "$nonce"
