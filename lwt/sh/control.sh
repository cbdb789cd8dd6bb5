# What a master asks of the tasks on a host, any number of things in one call, one line of answer for each.
#
# $1 home  $2 a random word, the host's id if it has none yet; then, for each request, four words: VERB KEY BOOT GRACE
#
#   poll      how is it?
#   launch    start it, unless its fate is decided; refused if the host was started anew since BOOT
#   cancel    it must not run: decided by ln if it has not begun, else ended: its own kill command, TERM, KILL after GRACE
#   clean     remove what it has here, but keep what tells that it ran
#   unstage   remove it if it never ran
#   forget    remove what clean kept
#   sample    how loaded is the host?  KEY: for so many seconds its cpu is watched; 0 for not at all (see samplelib.sh)
home=$1 new_id=$2
shift 2
umask 077
enter_home "$home" || refuse "home $home: no such directory"
[ ! -L .lwt ] || refuse "home $home: .lwt is a link"
mkdir -p .lwt/t 2>/dev/null
[ -w .lwt/t ] || refuse "home $home: cannot be written"
[ -O .lwt ] || refuse "home $home: .lwt belongs to somebody else"
if [ ! -s .lwt/host-id ]; then
  say "$new_id" >".lwt/id.$$" && ln ".lwt/id.$$" .lwt/host-id 2>/dev/null
  [ -s .lwt/host-id ] || { rm -f ".lwt/id.$$"; refuse "home $home: no room left"; }
fi
for left in .lwt/id.*; do [ ! -e "$left" ] || rm -f "$left"; done # also of one that was killed just here
cd .lwt/t || refuse "home $home: .lwt/t cannot be entered"
tasks=$(pwd -P)

# detached COMMAND...: run it in a session of its own, by whatever the host has.
detached() {
  unset LWT_ID                          # the marker of this call, where the host is the master: the task is none of it
  if command -v setsid >/dev/null 2>&1; then set -- setsid "$@"
  elif command -v perl >/dev/null 2>&1; then set -- perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or exit 127' "$@"
  elif command -v python3 >/dev/null 2>&1; then
    set -- python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
  else set -- nohup "$@"; fi
  "$@" </dev/null >/dev/null 2>&1 3>&- 4>&- &
}

launch() {
  if [ ! -e fate ] && ! ended >/dev/null; then
    [ "$1" = "$(boot)" ] || { say rebooted; return; }
    detached sh ./run.sh
    tries=100
    while [ ! -e fate ] && [ "$tries" -gt 0 ]; do
      tries=$((tries - 1))
      nap
    done
  fi
  report
}

cancel() {
  decide cancel
  # shellcheck disable=SC2094  # the two are different files
  read -r fate pid start boot group <fate
  if [ "$fate" = run ] && ! ended >/dev/null && [ "$boot" = "$(boot)" ] && [ "$start" = "$(started "$pid")" ]; then
    ln fate why.killed 2>/dev/null
    end_group "$1"
    mv "c.$pid" exit.killed 2>/dev/null # unless the runner has recorded it
  fi
  report
}

# end_group GRACE: end the task of this directory, whose runner is $pid in the group $group.
end_group() {
  if [ -s kill ]; then
    ( . ./settings; cd work && exec sh ../kill ) >/dev/null 2>&1 </dev/null &
    await_end "$1"
    kill -KILL "$!" 2>/dev/null         # not TERM: see receive_watch in lib.sh
  fi
  ended >/dev/null && return
  kill -TERM "-$group" 2>/dev/null
  kill -CONT "-$group" 2>/dev/null
  await_end "$1"
  kill -KILL "-$group" 2>/dev/null
  sweep "$key"
}

# await_end SECONDS: until the runner has recorded the end, at most so long.
await_end() {
  tries=$(($1 * 20 + 1))
  while [ "$tries" -gt 0 ] && ! ended >/dev/null; do
    tries=$((tries - 1))
    nap
  done
}

clean() {
  decide cancel
  for name in * .[!.]*; do
    case $name in
      fate | exit.*) ;;
      *) rm -rf "./$name" || { chmod -R u+rwx "./$name" && rm -rf "./$name"; } ;;
    esac
  done 2>/dev/null
  rest=$(find . ! -name . ! -name fate ! -name 'exit.*' | head -n 1)
  if [ -z "$rest" ]; then say cleaned; else say "failed $rest cannot be removed"; fi
}

# gone VERB: what to answer when there is no directory.
gone() {
  case $1 in
    clean | unstage | forget) say cleaned ;;
    *) say absent ;;
  esac
}

say "facts $(boot) $(cat ../host-id)"

while [ $# -ge 4 ]; do
  verb=$1 key=$2 boot_id=$3 grace=$4
  shift 4
  case $key in
    '' | *[!0-9a-f.]* | .*) refuse "bad key $key" ;;
  esac
  if [ "$verb" = sample ]; then
    (cd ../.. && take_sample "$key")
    continue
  elif cd "$tasks/${key:?}" 2>/dev/null; then
    case $verb in
      poll) answer=$(report) ;;
      launch) answer=$(launch "$boot_id") ;;
      cancel) answer=$(cancel "$grace") ;;
      clean) answer=$(clean) ;;
      unstage)
        if [ -e fate ]; then answer=$(report)
        else cd "$tasks" && rm -rf "./${key:?}" && answer=cleaned; fi
        ;;
      forget) cd "$tasks" && rm -rf "./${key:?}" && answer=cleaned ;;
      *) refuse "unknown verb $verb" ;;
    esac
  else
    answer=$(gone "$verb")
  fi
  say "task $key $verb $answer"
  cd "$tasks" || exit 1
done
