# Report the load of a host. The host sums it up, so a few lines are sent, and no list of processes.

# take_sample INTERVAL: print a line "sample KEY=NUMBER...". With an INTERVAL in seconds, it
# includes the cpu usage during that time, and lines "user NAME CPU MEMORY PROCESSES" for the users
# with the highest usage follow. The last line is "machine WORDS". The working directory must be the
# home.
#
#   cores  load (hundredths)  memory  free (KiB)  space  disk (KiB in the home: total, free)
#   tasks (running)  cpu  me (percent of a core)
take_sample() {
  sample_interval=$1
  # Split into words: a header of seven words, and FILE-SYSTEM BLOCKS USED FREE ...
  # shellcheck disable=SC2046
  set -- $(df -Pk . 2>/dev/null)
  sample_disk="${11:-0} space=${9:-0}"
  sample_cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || say 1)
  set -- .lwt/t/*/c.[0-9]*              # the candidate of a runner exists while the task runs
  [ -e "$1" ] || shift
  sample_line="sample cores=$sample_cores disk=$sample_disk tasks=$#"
  if [ ! -r /proc/stat ]; then sample_by_ps
  elif [ "$sample_interval" = 0 ]; then sample_load </dev/null
  else
    {
      cat /proc/stat /proc/[0-9]*/stat
      sleep "$sample_interval" || sleep 1
      say between
      cat /proc/stat /proc/[0-9]*/stat
      say owners
      ls -ld "/proc/$$" /proc/[0-9]*
    } 2>/dev/null | sample_load
  fi
  sample_machine
}

# sample_machine: print "machine WORDS", which are the same for all names of one login and differ on
# all other machines. Containers share the boot id of their machine, but not its namespaces. Another
# port often leads to another container too.
sample_machine() {
  find_boot
  [ -n "$boot" ] || return 0
  { read -r sample_node </proc/sys/kernel/hostname; } 2>/dev/null || sample_node=$(uname -n)
  sample_spaces=''
  sample_words=$(ls -Ldi /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/pid 2>/dev/null)
  for sample_word in $sample_words; do
    case $sample_word in /*) ;; *) sample_spaces=$sample_spaces$sample_word- ;; esac
  done
  sample_port=${SSH_CONNECTION##* }
  say "machine $boot ${sample_spaces:--} ${sample_port:-22} $sample_node $HOME"
}

# sample_load: print the sample, from /proc and standard input: two looks at all processes, and
# their owners.
sample_load() {
  awk -v line="$sample_line" -v cores="$sample_cores" '
    BEGIN {
      while ((getline text <"/proc/meminfo") > 0) {
        split(text, part, " ")
        memory[part[1]] = part[2]
      }
      free = memory["MemAvailable:"]
      if (free == "") free = memory["MemFree:"] + memory["Cached:"] + memory["Buffers:"]
      getline text <"/proc/loadavg"
      split(text, part, " ")
      printf "%s load=%d memory=%d free=%d", line, part[1] * 100 + 0.5, memory["MemTotal:"], free
    }
    $1 == "between" { round = 1; next }
    $1 == "owners" { round = 2; next }
    $1 == "cpu" {
      total[round + 0] = $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9
      idle[round + 0] = $5 + $6
      next
    }
    round < 2 && /^[0-9]+ \(/ {
      pid = $1
      sub(/^.*\) /, "")
      if (round) {
        used[pid] = $12 + $13 - before[pid]
        pages[pid] = $22
      } else before[pid] = $12 + $13
    }
    round == 2 {
      pid = substr($NF, 7)
      if (me == "") { me = $3; next }
      if (pid in used) {
        cpu[$3] += used[pid]
        size[$3] += pages[pid]
        count[$3]++
      }
    }
    END {
      span = total[1] - total[0]
      if (span > 0) {
        percent = 100 * cores / span
        printf " cpu=%d me=%d", (span - idle[1] + idle[0]) * percent + 0.5, cpu[me] * percent + 0.5
      }
      print ""
      if (span > 0) "getconf PAGESIZE" | getline page
      for (n = 0; n < 8 && span > 0; n++) {
        best = ""
        for (user in count) if (best == "" ||
          cpu[user] * 1e9 + size[user] > cpu[best] * 1e9 + size[best]) best = user
        if (best == "") break
        printf "user %s %d %d %d\n", substr(best, 1, 32), cpu[best] * percent + 0.5,
          size[best] * page / 1024, count[best]
        delete count[best]
      }
    }'
}

# sample_by_ps: print the sample on a host without /proc, as far as uptime and ps report it.
sample_by_ps() {
  sample_line="$sample_line load=$(uptime | sed 's/.*load average[s]*: *//' |
    awk -F '[ ,]+' '{ printf "%d", $1 * 100 }')"
  [ "$sample_interval" != 0 ] || { say "$sample_line"; return; }
  ps -A -o user= -o pcpu= -o rss= 2>/dev/null | awk -v line="$sample_line" -v me="$(id -un)" '
    { cpu[$1] += $2; size[$1] += $3; count[$1]++; all += $2 }
    END {
      printf "%s cpu=%d me=%d\n", line, all, cpu[me]
      for (user in count) if (n++ < 8)
        printf "user %s %d %d %d\n", substr(user, 1, 32), cpu[user], size[user], count[user]
    }'
}
