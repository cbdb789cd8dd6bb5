# A short script: it answers once.
read_opening
frame "$nonce"
