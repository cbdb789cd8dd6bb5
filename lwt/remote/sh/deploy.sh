# Prepare the home of a host for lwt, and report whether lwt.pyz is there and which Python runs it.
#
# $1  "prepare": make the home if it does not exist
#     "check": print "digest KIND VALUE" of lwt.pyz; then "runs PYTHON VERSION" and what lwt.pyz
#     prints, for the first Python that runs it; or "old PYTHON VERSION" for the first that does
#     not; or "none"
# $2  home
verb=$1 home=$2
case $verb in
  prepare)
    enter_home "$home" || refuse "$home_problem"
    ;;
  check)
    enter_home "$home" || refuse "$home_problem"
    say "digest $(digest <lwt.pyz)"
    program='import sys; print("%d.%d.%d" % sys.version_info[:3])'
    old=none
    for name in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 \
      python3.7 python3.6 /usr/local/bin/python3 /usr/bin/python3 python; do
      python=$(command -v "$name" 2>/dev/null) || continue
      version=$("$python" -c "$program" 2>/dev/null </dev/null) || continue
      if said=$("$python" lwt.pyz --version 2>/dev/null </dev/null); then
        say "runs $python $version $said"
        exit 0
      fi
      [ "$old" != none ] || old="old $python $version"
    done
    say "$old"
    ;;
esac
