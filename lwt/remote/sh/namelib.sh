# How names are written in lines: a newline as \n, a backslash as \\.
#
# The functions are in a variable too, for shells that find starts: find ... -exec sh -c
# "$naming"'...' sh {} +
#
# encode NAME: set $encoded to NAME as it is written in a line.
# decode TEXT: set $decoded to the name that TEXT stands for.
# print_names NAME...: print each name as a line.
# shellcheck disable=SC2016  # it is evaluated below
naming='
newline="
"
backslash="\\"
encode() {
  rest=$1 encoded=""
  while case $rest in *["$newline$backslash"]*) ;; *) false ;; esac; do
    head=${rest%%["$newline$backslash"]*}
    rest=${rest#"$head"}
    case $rest in
      "$newline"*) encoded=$encoded$head${backslash}n ;;
      *) encoded=$encoded$head$backslash$backslash ;;
    esac
    rest=${rest#?}
  done
  encoded=$encoded$rest
}
decode() {
  rest=$1 decoded=""
  while case $rest in *"$backslash"*) ;; *) false ;; esac; do
    decoded=$decoded${rest%%"$backslash"*}
    rest=${rest#*"$backslash"}
    case $rest in
      n*) decoded=$decoded$newline ;;
      *) decoded=$decoded$backslash ;;
    esac
    rest=${rest#?}
  done
  decoded=$decoded$rest
}
print_names() {
  for name; do
    encode "$name"
    printf "%s\n" "$encoded"
  done
}
'
eval "$naming"
