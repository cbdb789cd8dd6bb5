# Send files and directories: announce them, then send them as tar archives, one after another.
#
# It runs under the guard, in the home of the host, and writes no file, because the disk may be
# full.
#
# $1  the identities (digests) of what the master has already, separated by blanks
# $2  symbolic links: follow, keep or skip
# $3  how the content is sent: "tar", or "scp" (then scp copies what is announced)
# $4  the number of names that exist on the master and must not be replaced
#     then these names; then paths, in which * ? [ ] are expanded
#
# On standard output, each PATH as namelib.sh writes it:
#   "path FILES BYTES PATH"  it will be sent
#   "same PATH"              the master has it
#   "differs PATH"           the master has another file of this name, which must not be replaced
#   "except TEXT"            something cannot be sent: its path, and why
#   "send"                   the end of the list; then the stream, unless scp copies the files
# On standard error, after the content: "tar CODE", then "digest KIND VALUE" (`contents` of
# copylib.sh, or `identity` if scp copies) for each announced path, in the same order. A "tick" may
# come at any time. Any other line is an error message.
LIMIT=1048576                           # maximum bytes of a file whose size is unknown
have=$1 links=$2 by=$3 kept=$newline files='' liars='' trees=''
[ "$links" = follow ] || follow=''
shift 3
count=$1
shift
if [ "$kind" = none ]; then
  say "refused $no_digest" >&2
  exit 1
fi
while [ "$count" -gt 0 ]; do
  encode "$1"
  kept=$kept$encoded$newline count=$((count - 1))
  shift
done

# find_in PATH... CONDITIONS...: run find on these paths, without symbolic links if $links is skip.
find_in() {
  if [ "$links" = skip ]; then
    rest=''
    for word; do
      case $rest$word in
        -* | '(' | !)
          rest=x
          set -- "$@" ! -type l
          ;;
      esac
      set -- "$@" "$word"
      shift
    done
  fi
  # shellcheck disable=SC2086  # an option, or nothing
  find $follow "$@"
}

# find_paths PATTERN: set $found to the paths that match, one a line.
find_paths() {
  expand "$1"
  case $expanded in
    /*) set -- "$expanded" ;;
    *) set -- "$PWD/$expanded" ;;
  esac
  found=''
  IFS=''
  # shellcheck disable=SC2086  # to be expanded, and not split
  for path in $1; do
    path=${path%/}
    # tar drops everything before "..", so its names would differ from those that are announced.
    case $path in */../*) path=$(cd "${path%/*}/" && pwd -P)/${path##*/} ;; esac
    encode "${path:=/}"
    if [ -e "$path" ] || [ -L "$path" ]; then found=$found$encoded$newline
    else say "except $encoded: no such file"; fi
  done
  unset IFS
}

# find_problem PATH: set $problem to the first file in PATH that cannot be sent and why, or to '' if
# all can be sent.
find_problem() {
  problem=''
  [ ! -f "$1" ] || [ -L "$1" ] || [ ! -r "$1" ] || return 0
  [ "$links" != follow ] || problem=$(find_loop "$1")
  # shellcheck disable=SC2016  # for the inner shell
  [ -n "$problem" ] || problem=$(find_in "$1" -exec sh -c "$naming"'
    links=$1
    shift
    for path; do
      if [ -L "$path" ] && [ "$links" != follow ]; then continue
      elif [ -d "$path" ]; then
        { [ ! -r "$path" ] || [ ! -x "$path" ]; } || continue
        what="permission denied"
      elif [ -f "$path" ]; then
        [ ! -r "$path" ] || continue
        what="permission denied"
      elif [ -e "$path" ]; then what="neither a file nor a directory"
      elif [ -L "$path" ]; then what="dangling link (to $(readlink "$path"))"
      else continue; fi
      encode "$path"
      printf "%s\n" "$encoded: $what"
    done' sh "$links" {} + 2>/dev/null) || [ -n "$problem" ] ||
    problem=$(find_in "$1" -name '' 2>&1)
  problem=${problem%%"$newline"*}
}

# find_loop PATH: print a symbolic link, PATH or one in it, that cannot be followed: it dangles, or
# leads back to a directory above.
find_loop() {
  if [ -L "$1" ] && [ ! -e "$1" ]; then set -- "$1"
  elif [ -d "$1" ]; then set -- "$1/"
  else return; fi
  # shellcheck disable=SC2016  # for the inner shell
  find "$1" -type l -exec sh -c "$naming"'
    for link; do
      if [ ! -e "$link" ]; then what="dangling link (to $(readlink "$link"))"
      elif [ -d "$link" ]; then
        above=$(cd -P "${link%/*}/" && pwd -P && echo .) inside=$(cd -P "$link" && pwd -P && echo .)
        case ${above%??}/ in
          "${inside%??}"/*) what="a link that leads back to a directory above" ;;
          *) continue ;;
        esac
      else continue; fi
      encode "$link"
      printf "%s\n" "$encoded: $what"
    done' sh {} + 2>/dev/null
}

# measure PATH: print "FILES BYTES". Files with a false size ($lies) count 0 bytes.
measure() {
  if [ -z "$lies" ]; then find_in "$1" -type f -exec wc -c {} +
  else
    # shellcheck disable=SC2016  # for the inner shell
    find_in "$1" -type f -exec sh -c "$naming"'
      lies=$1
      shift
      for path; do
        encode "$path"
        case $newline$lies$newline in
          *"$newline$encoded$newline"*) echo "0 /" ;;
          *) wc -c "$path" ;;
        esac
      done' sh "$lies" {} +
  fi | {
    number=0 bytes=0
    while read -r size file; do
      # GNU wc quotes odd names. The line "total" is not a file, and a name may continue on the next
      # line.
      case $file in /* | \'*) number=$((number + 1)) bytes=$((bytes + size)) ;; esac
    done
    say "$number $bytes"
  }
}

# identity PATH: print one digest of the names and contents of a file or directory.
identity() (
  cd "${1%/*}/" && { contents "./${1##*/}"; find -L "./${1##*/}" | sort; } | digest
)

# tell_identity PATH: print the identity as a digest line. scp may change names, so the identity
# includes them.
tell_identity() { say "digest $(identity "$1")"; }

# take PATH: add a requested path to $files or $trees, or report why it is not sent.
take() {
  encode "$1"
  case $1 in
    */. | */.. | /) problem="$encoded: cannot be fetched as a whole" ;;
    *) find_problem "$1" ;;
  esac
  encode "$1"
  if [ -n "$problem" ]; then
    say "except $problem"
    return
  fi
  if [ -n "$have" ] && [ "$links" = follow ]; then
    case " $have " in *" $(identity "$1") "*) say "same $encoded"; return ;; esac
  fi
  encode "${1##*/}"
  name=$encoded
  encode "$1"
  case $kept in *"$newline$name$newline"*) say "differs $encoded"; return ;; esac
  if [ -f "$1" ] && { [ ! -L "$1" ] || [ "$links" = follow ]; }; then files=$files$encoded$newline
  elif [ ! -L "$1" ] || [ "$links" != skip ]; then trees=$trees$encoded$newline; fi
}

# -- files with a false size: those of /proc and /sys, and others ----------------------------------

# find_liars PATH...: set $lies to those of these files, and of the files in these directories,
# whose reported size is false: 0 bytes, or the size of a page of memory, and they contain more or
# less.
find_liars() {
  # shellcheck disable=SC2016  # for the inner shell
  lies=$(
    for told in 0 4096 16384 65536; do
      find_in "$@" -type f -size "${told}c" -exec sh -c "$naming"'
        told=$1
        shift
        for path; do
          line=""
          if [ "$told" -gt 0 ]; then [ "$(wc -c <"$path")" -ne "$told" ]
          elif IFS= read -r line <"$path" || [ -n "$line" ]; then :
          else
            case $path in
              /proc/* | /sys/*) [ "$(head -c 1 "$path" | wc -c)" -gt 0 ] ;;
              *) false ;;
            esac
          fi && print_names "$path"
        done' sh "$told" {} +
    done 2>/dev/null
  )
}

# is_liar FILE: whether its reported size is false.
is_liar() {
  [ -n "$lies" ] || return
  encode "$1"
  case $newline$lies$newline in *"$newline$encoded$newline"*) ;; *) false ;; esac
}

# has_liar TREE: whether it contains a file whose reported size is false.
has_liar() {
  encode "$1"
  case $newline$lies in *"$newline$encoded/"*) ;; *) false ;; esac
}

# header NAME SIZE TYPE: print the header of a member of a tar archive (ustar). A name that is too
# long gets a member of its own (GNU).
header() {
  if [ ${#1} -gt 100 ]; then
    header ././@LongLink $((${#1} + 1)) L
    printf %s "$1"
    zeros $((512 - ${#1} % 512))
    set -- "$(printf %s "$1" | head -c 100)" "$2" "$3"
  fi
  nul='\0000'
  numbers=0000444${nul}0000000${nul}0000000$nul$(printf %011o "$2")$nul$(printf %011o "$now")$nul
  sum=$({ printf %s "$1"; printf %b "$numbers"; printf '        %sustar00' "$3"; } |
    od -An -v -tu1 | awk '
    { for (i = 1; i <= NF; i++) sum += $i } END { printf "%06o", sum }')
  printf %s "$1"
  zeros $((100 - ${#1}))
  printf %b "$numbers$sum$nul $3"
  zeros 100
  printf 'ustar\00000'
  zeros 247
}

zeros() { [ "$1" -eq 0 ] || head -c "$1" /dev/zero; }

# send_liar FILE: send a file with a false size as an archive of its own. It is read once, and its
# digest is added to $liar_sums.
send_liar() {
  data=$(head -c $((LIMIT + 1)) <"$1" | od -An -v -to1 | tr -d ' \t\n' | sed 's/.../\\0&/g')
  size=$((${#data} / 5))
  encode "$1"
  if [ "$size" -gt "$LIMIT" ]; then
    say "$encoded: more than $LIMIT bytes, and the system does not tell how many" >&2
    return 1
  fi
  sum=$(printf %b "$data" | $summer)
  [ "$kind" != sha256 ] || sum=${sum%% *}
  liar_sums=$liar_sums$encoded/$sum$newline
  header "${1#/}" "$size" 0
  printf %b "$data"
  zeros $(((512 - size % 512) % 512 + 1024))
}

# honest_in TREE [CONDITIONS]: print the paths in TREE that are not in $lies, relative to the root
# directory, each followed by a NUL.
honest_in() {
  tree=./${1#/}
  shift
  # shellcheck disable=SC2016  # for the inner shell
  find_in "$tree" "$@" -exec sh -c "$naming"'
    lies=$1
    shift
    for path; do
      encode "${path#.}"
      case $newline$lies$newline in
        *"$newline$encoded$newline"*) ;;
        *) printf "%s\0" "$path" ;;
      esac
    done' sh "$lies" {} +
}

# -- the stream ------------------------------------------------------------------------------------

# each FUNCTION LIST: call FUNCTION with each path of a list.
each() {
  function=$1
  IFS=$newline
  set -f
  # shellcheck disable=SC2086  # lines
  set -- $2
  set +f
  unset IFS
  for line; do
    decode "$line"
    "$function" "$decoded"
  done
}

announce() {
  encode "$1"
  say "path $(measure "$1") $encoded"
}

note_argument() {
  if is_liar "$1"; then send_liar "$1" || tar_code=1
  elif [ "$links" = skip ] && [ -d "$1" ] || has_liar "$1"; then send_one_by_one "$1"
  else arguments=$arguments$line$newline; fi
}

# send_one_by_one TREE: send a tree without the files that tar must not read.
send_one_by_one() {
  # shellcheck disable=SC2086  # options
  if tar --no-recursion -cf /dev/null . 2>/dev/null; then
    honest_in "$1" | xargs -0 tar --no-recursion $options -cf -
  else honest_in "$1" ! -type d | xargs -0 tar $options -cf -; fi || tar_code=$?
  IFS=$newline
  for lie in $lies; do
    unset IFS
    decode "$lie"
    case $decoded in "$1"/*) send_liar "$decoded" || tar_code=1 ;; esac
  done
  unset IFS
}

# send_rest: send what tar can read as it is.
send_rest() {
  IFS=$newline
  set -f
  set --
  for line in $arguments; do
    decode "$line"
    set -- "$@" "./${decoded#/}"
  done
  set +f
  unset IFS
  # shellcheck disable=SC2086  # options
  [ $# -eq 0 ] || tar $options -cf - "$@" || tar_code=$?
}

# file_sums: print the digests of $files, in their order.
file_sums() {
  IFS=$newline
  set -f
  # shellcheck disable=SC2086  # a command and its arguments
  for line in $files; do
    decode "$line"
    printf '%s\0' "$decoded"
  done | {
    unset IFS
    xargs -0 $summer
  } | sed -n "$sum_pattern" | sed "s/^\([^ ]*\).*/digest $kind \1/"
}

liar_sum() {
  encode "$1"
  sum=${liar_sums#*"$newline$encoded/"}
  sum=${sum%%"$newline"*}
  say "digest $kind ${sum%% *}"
}

tree_sum() {
  if [ -L "$1" ] && [ -z "$follow" ]; then say "digest $kind -"
  elif has_liar "$1"; then
    {
      # shellcheck disable=SC2016  # for the inner shell; it may have nothing to do
      honest_in "$1" -type f | xargs -0 sh -c '[ $# -eq 0 ] || $0 "$@"' "$summer" |
        sed -n "$sum_pattern"
      encode "$1"
      say "$liar_sums" | while IFS= read -r line; do
        case $line in "$encoded"/*) say "${line##*/}" ;; esac
      done
    } | sort | digest | sed 's/^/digest /'
  else say "digest $(sums "$1" | sort | digest)"; fi
}

[ "$by" = scp ] || command -v tar >/dev/null 2>&1 || {
  say "refused $no_tar" >&2
  exit 1
}
ticking
while [ $# -gt 0 ]; do
  find_paths "$1"
  shift
  each take "$found"
done
lies=''
all=$files$trees
if [ -n "$all" ]; then
  IFS=$newline
  set -f
  for line in $all; do
    decode "$line"
    set -- "$@" "$decoded"
  done
  set +f
  unset IFS
  find_liars "$@"
fi
plain=''
note_file() { if is_liar "$1"; then liars=$liars$line$newline; else plain=$plain$line$newline; fi; }
each note_file "$files"
files=$plain
if [ "$by" = scp ]; then
  refuse_liar() { say "except $line: scp cannot copy a file whose size the system does not tell"; }
  plain=''
  note_tree() { if has_liar "$1"; then refuse_liar; else plain=$plain$line$newline; fi; }
  each refuse_liar "$liars"
  each note_tree "$trees"
  liars='' trees=$plain
fi
for list in "$files" "$liars" "$trees"; do each announce "$list"; done
say send
if [ -n "$files$liars$trees" ]; then
  cd / || exit 1
  options='' arguments='' tar_code=0 liar_sums=$newline now=$(date +%s)
  [ "$links" != follow ] || options=-h
  # GNU tar would interpret escapes in names.
  ! tar --no-unquote --version >/dev/null 2>&1 || options="--no-unquote $options"
  if [ "$by" != scp ]; then
    each note_argument "$files$liars$trees"
    send_rest
  fi
  say "tar $tar_code" >&2
  if [ "$by" = scp ]; then each tell_identity "$files$trees"
  else
    [ -z "$files" ] || file_sums
    each liar_sum "$liars"
    each tree_sum "$trees"
  fi >&2
fi
kill -KILL "$ticker"
