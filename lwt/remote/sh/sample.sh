# Report the load of the host: one call, at most one kilobyte of answer.
#
# $1  home
# $2  seconds for which the cpu usage is measured
enter_home "$1" || refuse "$home_problem"
take_sample "$2"
