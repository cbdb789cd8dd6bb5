# The first part of each script that a login starts: clean the environment. POSIX sh, tested with
# dash, bash and busybox.
#
# sshd (SetEnv, AcceptEnv), PAM, ~/.ssh/environment and the rc files of a login shell may export
#
#   a variable with a name that we use      our value would be passed to every program: a password,
#                                           or a list that is too long for execve(2)
#   a variable that changes what tools do   CDPATH, GREP_OPTIONS, POSIXLY_CORRECT, the locale; TMOUT
#                                           ends a `read` of bash, and so the lifeline
#   functions of bash, SHELLOPTS            `cd` is something else, `set -e` is on
#
# All of these are set aside, and restore_environment restores them for what the user runs. Most
# environments contain none of them. Then no process is started to list the variables.
set +aefuvxCm
# Every shell starts with a blank, a tab and a newline in IFS.
lwt_newline=${IFS#??} lwt_not="! "
unset IFS lwt_saved lwt_nonce lwt_name lwt_names lwt_line lwt_functions lwt_function_names
lwt_saved='' lwt_functions='' lwt_function_names='' lwt_has_functions=''
# Only bash takes functions from the environment. scripts.py defines some whose names begin with
# lwt_. A bash without compgen says 127.
case ${BASH_VERSION-} in
  ?*)
    unset -f compgen
    # shellcheck disable=SC3044  # for bash alone
    compgen -A function -X "lwt_*" >/dev/null 2>&1
    [ $? -eq 1 ] || lwt_has_functions=1
    ;;
esac

# lwt_load_early: define the functions that most commands do not need, if they are not defined yet
# (see scripts.py).
lwt_load_early() {
  case ${lwt_early-} in '') return ;; esac
  lwt_decode "$lwt_early"
  lwt_early=''
  eval "$lwt_text"
}

# set_functions_aside: keep the functions, and undefine them.
set_functions_aside() {
  unset -f set_functions_aside declare
  # shellcheck disable=SC3044  # for bash alone
  lwt_functions=$(declare -f)
  case $lwt_functions in '') return ;; esac
  # shellcheck disable=SC3044
  lwt_function_names=$(declare -F)
  for lwt_name in $lwt_function_names; do
    case $lwt_name in declare | -* | lwt_*) ;; *) unset -f "$lwt_name" ;; esac
  done
} 2>/dev/null
case $lwt_has_functions in ?*) lwt_load_early; set_functions_aside ;; esac
# shellcheck disable=SC3028,SC3040  # for bash alone
case ${SHELLOPTS-} in *pipefail*) ! (set +o pipefail) 2>/dev/null || set +o pipefail ;; esac

# set_aside NAME: keep the value of an exported variable in lwt_v_NAME if the name is one of these.
set_aside() {
  case $1 in
    lwt_* | '' | [0-9]* | *[${lwt_not% }A-Za-z0-9_]*) return ;;
    [a-z]* | PATH | CDPATH | ENV | BASH_ENV | TMOUT | GLOBIGNORE | EXECIGNORE | LANG* | LC_*) ;;
    *POSIX* | *BLOCK_SIZE | BLOCKSIZE | COLUMNS | CLICOLOR* | QUOTING_STYLE | TIME_STYLE) ;;
    GREP_* | TAR_* | LS_* | PS_* | CMD_ENV | I_WANT_A_BROKEN_PS) ;;
    *) return ;;
  esac
  # Otherwise this is a line of a value that only looks like a variable.
  eval "[ -n \"\${$1+set}\" ]" || return 0
  eval "lwt_v_$1=\$$1"
  unset "$1"
  lwt_saved="$lwt_saved $1"
}

# set_variables_aside: list the exported variables, and set aside those that may do harm.
set_variables_aside() {
  set -f
  IFS=$lwt_newline
  for lwt_line in $(export -p); do
    unset IFS
    lwt_name=${lwt_line%%=*}
    set_aside "${lwt_name##* }"
  done
  unset IFS
  set +f
}
# scripts.py replaces ${lwt_names-x} by an expansion that is empty if none of the variables that
# this script uses, and none of those that change what tools do, is set.
case ${lwt_names-x}${PATH+y} in
  x*) lwt_load_early; set_variables_aside ;;
  y) lwt_v_PATH=$PATH lwt_saved=PATH ;;
esac
PATH=${lwt_v_PATH-} LC_ALL=C
export PATH LC_ALL
command -v tail >/dev/null 2>&1 || PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
