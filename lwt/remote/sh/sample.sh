# How loaded the host is: one call, at most a kilobyte of answer.
#
# $1 home  $2 seconds that cpu is watched
enter_home "$1" || refuse "$home_problem"
take_sample "$2"
