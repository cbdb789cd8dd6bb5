# Ask the Slurm of this host, which is a login node.
slurm_limit=10                          # seconds for a command of Slurm

# take_cluster PARTITION: print "slurm PARTITION NODES IDLE CPUS FREE PENDING": the number of nodes,
# idle nodes, cpus, free cpus and pending jobs of a partition of Slurm; or "slurm! REASON". An empty
# PARTITION is the default one.
take_cluster() {
  cluster=$(bounded sinfo -h -a --noconvert -o '%P %F %C' </dev/null 2>&1) ||
    { cluster_problem 'sinfo: ' $? "$cluster"; return 0; }
  # The default partition has a star. %F and %C are ALLOCATED/IDLE/OTHER/TOTAL.
  cluster=$(say "$cluster" | awk -v wanted="$1" '
    { name = $1; is_default = sub(/[*]$/, "", name) }
    NF == 3 && (wanted == "" ? is_default : name == wanted) {
      split($2, node, "/")
      split($3, cpu, "/")
      found = name
      nodes += node[4]
      idle += node[2]
      cpus += cpu[4]
      free += cpu[2]
    }
    END { if (found != "") printf "%s %d %d %d %d\n", found, nodes, idle, cpus, free }')
  if [ -z "$cluster" ]; then
    [ -z "$1" ] || set -- "such partition: $1"
    say "slurm! no ${1:-default partition}"
    return 0
  fi
  cluster_jobs=$(bounded squeue -h -a -r -t pending -p "${cluster%% *}" -o %i </dev/null 2>&1) ||
    { cluster_problem 'squeue: ' $? "$cluster_jobs"; return 0; }
  say "slurm $cluster $(say "$cluster_jobs" | awk 'NF == 1 { n++ } END { print n + 0 }')"
}

# bounded COMMAND...: run a command of Slurm for a limited time.
bounded() {
  if command -v timeout >/dev/null 2>&1; then timeout -k 1 "$slurm_limit" "$@"
  else "$@"; fi
}

# cluster_problem PREFIX CODE OUTPUT: print why a command failed: its last line.
cluster_problem() {
  case $2 in
    124) say "slurm! ${1}no answer within $slurm_limit s" ;;
    127) say "slurm! ${1}command not found" ;;
    *)
      cluster=$(say "$3" | tail -n 1 | cut -c 1-100)
      cluster=${cluster#*error: }
      say "slurm! $1${cluster:-exit code $2}"
      ;;
  esac
}
