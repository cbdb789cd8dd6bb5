# A short script: it answers once, in the frame whose nonce is $1, and its own arguments follow.
frame "$1"
shift
