# Completion of lwt for bash.  Made by python3 -m tests.generate; do not edit.
# shellcheck shell=bash disable=SC2207,SC2012,SC2016
__lwt_root() {
  set -- "${1:-$LWT_WORKSPACE}" "$PWD"
  if [ -n "$1" ]; then printf '%s\n' "$1"; return; fi
  while [ ! -f "$2/lwt.conf" ] && [ -n "$2" ]; do set -- '' "${2%/*}"; done
  printf '%s\n' "${2:-/}"
}
__lwt_column() {
  awk -F '\t' -v n="$2" '!/^#/ && NF > 2 { print $n }' \
    "$(__lwt_root "$1")/host.list" 2>/dev/null | sort -u
}
__lwt_hosts() { __lwt_column "$1" 1; __lwt_column "$1" 2 | sed 's/^/@/'; }
__lwt_descriptions() { (cd "$(__lwt_root "$1")/description" 2>/dev/null && ls); }
__lwt_ids() {
  lwt -C "$(__lwt_root "$1")" task show 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 }'
}
__lwt_valued='--after --arg-file --array --back --basefile --basenameextensionreplace --basenamereplace --batch --bf --block --block-size --bner --bnr --colsep --column --connect-timeout --delay --delimiter --dirnamereplace --dnr --each --env --eof --er --errdir --every --extensionreplace --failed-to --fanout --fetch --grace --halt --halt-on-error --header --hello-timeout --host --idle --input --input-on-hosts --jl --joblog --jobs --lease --limit --links --load --log --log-format --map --max-args --max-chars --max-fails --max-lines --max-procs --max-replace-args --memfree --memory --name --nice --out --outcome --outdir --output --output-limit --param --pick --recend --recstart --reduce --res --results --retries --return --script --seqreplace --set --slf --slotreplace --ssh-config --ssh-option --sshlogin --sshloginfile --stall --state --stdin --tagstring --tf --timeout --tmp --transferfile --transport --trc --trim --wd --why --workdir -C -E -I -L -N -P -S -a -c -d -f -g -i -j -m -n -o -r -s -t -u -w -x'
__lwt_keys='fanout connect_timeout hello_timeout timeout idle grace lease output_limit stall logins persist retries max_cpu_day max_cpu_night max_cpu_me_day max_cpu_me_night max_dtask_day max_dtask_night night min_memory min_disk quarantine_after quarantine_good quarantine_wait quarantine_longest probe_size probe_time probe_rate keep log log_format overdue ssh_config ssh_option'
__lwt_flags() {
  case $1 in
    init) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format' ;;
    demo) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format --slurm' ;;
    multi) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -j -P --jobs --max-procs -u --timeout --grace --retries --halt --halt-on-error --delay --load --memfree --nice -t --connect-timeout --hello-timeout --lease --ssh-config --ssh-option -a --arg-file -0 --null -d --delimiter --dos -E --eof -r --no-run-if-empty --colsep --header --trim --link --xapply --shuf -n --max-args -N --max-replace-args -L --max-lines -X -m --xargs -s --max-chars -I --extensionreplace --er --basenamereplace --bnr --dirnamereplace --dnr --basenameextensionreplace --bner --seqreplace --slotreplace --quote --plus --dry-run --dryrun --pipe --spreadstdin --pipepart --pipe-part --block --block-size --recend --recstart --regexp --remove-rec-sep --removerecsep --rrs --round-robin --roundrobin --round -k --keep-order --tag --tagstring --line-buffer --linebuffer --lb --ungroup --progress --bar --eta --joblog --jl --resume --resume-failed --results --res -w -g -x --all-hosts -S --sshlogin --sshloginfile --slf --transferfile --tf --return --cleanup --trc --transfer --basefile --bf --workdir --wd --env' ;;
    exec) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option -u --timeout --idle --grace --lease --output-limit -w -g -x -a -b --gather --diff -k --keep-order -N --no-label --json --outdir --errdir --progress --failed-to -S --max-code --stdin --script --subst --sudo --pick --batch --fail-fast --retries' ;;
    put) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --per-host --chain --star --limit --transport --links -u --timeout --stall --grace -w -g -x -a' ;;
    get) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --force --limit --transport --links -u --timeout --stall --grace -w -g -x -a' ;;
    hosts) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --expand --fold --count --why --out --back -w -g -x -a' ;;
    reduce) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout --connect-timeout --hello-timeout --ssh-config --ssh-option -m -c --column -r --reduce -i --input -o --output -S --memory -t --tmp --map --input-on-hosts --delimiter --numeric --reverse --transport -u --timeout --stall --grace --lease -w -g -x -a' ;;
    probe) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --limit --watch --every --json -w -g -x -a' ;;
    monitor) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --watch --every --json -w -g -x -a' ;;
    stat) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format --tasks --json' ;;
    deploy) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --json -u --timeout --stall --grace -w -g -x -a' ;;
    report) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -o --output' ;;
    doctor) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format -f --fanout -t --connect-timeout --hello-timeout --ssh-config --ssh-option --fix --json -w -g -x -a' ;;
    cron) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format --every --systemd --ssh-config --ssh-option' ;;
    task) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format --name --input --fetch --each --colsep --array --param --after --max-fails --unless-exists --cron --progress --state --outcome --host --finished --all --count --counts --csv --json --follow --tag --fresh --results -y --yes -f --fanout --retries -t --connect-timeout --hello-timeout --ssh-config --ssh-option --grace --lease --stall' ;;
    *) echo '-h --help -C -q --quiet -v --verbose --set --log --log-format --version' ;;
  esac
}
__lwt_kind() {
  case "$1 $2" in
    "init -C") echo 'directory' ;;
    "init --log") echo 'file' ;;
    "init --log-format") echo 'format' ;;
    "init --set") echo 'key' ;;
    "demo -C") echo 'directory' ;;
    "demo --log") echo 'file' ;;
    "demo --log-format") echo 'format' ;;
    "demo --set") echo 'key' ;;
    "multi -g") echo 'categories' ;;
    "multi -C") echo 'directory' ;;
    "multi --log" | "multi --ssh-config" | "multi -a" | "multi --arg-file" | "multi --joblog" | "multi --jl" | "multi --results" | "multi --res" | "multi --sshloginfile" | "multi --slf" | "multi --workdir" | "multi --wd") echo 'file' ;;
    "multi --log-format") echo 'format' ;;
    "multi -m" | "multi -w" | "multi -x") echo 'hosts' ;;
    "multi --set") echo 'key' ;;
    "exec -g") echo 'categories' ;;
    "exec -C") echo 'directory' ;;
    "exec --log" | "exec --ssh-config" | "exec --outdir" | "exec --errdir" | "exec --failed-to" | "exec --stdin" | "exec --script") echo 'file' ;;
    "exec --log-format") echo 'format' ;;
    "exec -w" | "exec -x") echo 'hosts' ;;
    "exec --set") echo 'key' ;;
    "put -g") echo 'categories' ;;
    "put -C") echo 'directory' ;;
    "put --log" | "put --ssh-config") echo 'file' ;;
    "put --log-format") echo 'format' ;;
    "put -w" | "put -x") echo 'hosts' ;;
    "put --set") echo 'key' ;;
    "get -g") echo 'categories' ;;
    "get -C") echo 'directory' ;;
    "get --log" | "get --ssh-config") echo 'file' ;;
    "get --log-format") echo 'format' ;;
    "get -w" | "get -x") echo 'hosts' ;;
    "get --set") echo 'key' ;;
    "hosts -g") echo 'categories' ;;
    "hosts -C") echo 'directory' ;;
    "hosts --log" | "hosts --ssh-config") echo 'file' ;;
    "hosts --log-format") echo 'format' ;;
    "hosts -w" | "hosts -x") echo 'hosts' ;;
    "hosts --set") echo 'key' ;;
    "reduce -g") echo 'categories' ;;
    "reduce -C") echo 'directory' ;;
    "reduce --log" | "reduce --ssh-config" | "reduce -i" | "reduce --input" | "reduce -o" | "reduce --output" | "reduce -t" | "reduce --tmp") echo 'file' ;;
    "reduce --log-format") echo 'format' ;;
    "reduce -m" | "reduce -w" | "reduce -x") echo 'hosts' ;;
    "reduce --set") echo 'key' ;;
    "probe -g") echo 'categories' ;;
    "probe -C") echo 'directory' ;;
    "probe --log" | "probe --ssh-config") echo 'file' ;;
    "probe --log-format") echo 'format' ;;
    "probe -w" | "probe -x") echo 'hosts' ;;
    "probe --set") echo 'key' ;;
    "monitor -g") echo 'categories' ;;
    "monitor -C") echo 'directory' ;;
    "monitor --log" | "monitor --ssh-config") echo 'file' ;;
    "monitor --log-format") echo 'format' ;;
    "monitor -w" | "monitor -x") echo 'hosts' ;;
    "monitor --set") echo 'key' ;;
    "stat -C") echo 'directory' ;;
    "stat --log") echo 'file' ;;
    "stat --log-format") echo 'format' ;;
    "stat --set") echo 'key' ;;
    "deploy -g") echo 'categories' ;;
    "deploy -C") echo 'directory' ;;
    "deploy --log" | "deploy --ssh-config") echo 'file' ;;
    "deploy --log-format") echo 'format' ;;
    "deploy -w" | "deploy -x") echo 'hosts' ;;
    "deploy --set") echo 'key' ;;
    "report -C") echo 'directory' ;;
    "report --log" | "report -o" | "report --output") echo 'file' ;;
    "report --log-format") echo 'format' ;;
    "report --set") echo 'key' ;;
    "doctor -g") echo 'categories' ;;
    "doctor -C") echo 'directory' ;;
    "doctor --log" | "doctor --ssh-config") echo 'file' ;;
    "doctor --log-format") echo 'format' ;;
    "doctor -w" | "doctor -x") echo 'hosts' ;;
    "doctor --set") echo 'key' ;;
    "cron -C") echo 'directory' ;;
    "cron --log" | "cron --ssh-config") echo 'file' ;;
    "cron --log-format") echo 'format' ;;
    "cron --set") echo 'key' ;;
    "task -C") echo 'directory' ;;
    "task --log" | "task --each" | "task --ssh-config") echo 'file' ;;
    "task --log-format") echo 'format' ;;
    "task --set") echo 'key' ;;
    *" -C") echo 'directory' ;;
    *" --log") echo 'file' ;;
    *" --log-format") echo 'format' ;;
    *" --set") echo 'key' ;;
  esac
}
__lwt_words() {
  case "$1 $2" in
    " ") echo 'init demo multi exec put get hosts reduce probe monitor stat deploy report doctor cron task' ;;
    "init "*) echo 'directory' ;;
    "multi "*) echo 'program' ;;
    "exec "*) echo 'program' ;;
    "put "*) echo 'file' ;;
    "get "*) echo 'file' ;;
    "cron ") echo 'install remove show' ;;
    "cron show") echo 'ids' ;;
    "task ") echo 'add update run show why log kill suspend resume retry wait rm' ;;
    "task add") echo 'description' ;;
    "task show") echo 'ids' ;;
    "task why") echo 'ids' ;;
    "task log") echo 'ids' ;;
    "task kill") echo 'ids' ;;
    "task suspend") echo 'ids' ;;
    "task resume") echo 'ids' ;;
    "task retry") echo 'ids' ;;
    "task wait") echo 'ids' ;;
    "task rm") echo 'ids' ;;
  esac
}
_lwt() {
  local word='' command='' verb='' root='' kind='' i
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  # bash splits words at @.
  if [ "$prev" = @ ]; then cur=@$cur prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --) compopt -o default 2>/dev/null; [ "$command" != exec ] || [ $i != $((COMP_CWORD - 1)) ] ||
            COMPREPLY=($(compgen -c -- "$cur")); return ;;
      -C) root=${COMP_WORDS[i+1]} ;;
    esac
    case " $__lwt_valued " in *" $word "*) i=$((i + 1)); continue ;; esac
    case $word in
      -*) ;;
      *) if [ -z "$command" ]; then command=$word; elif [ -z "$verb" ]; then verb=$word; fi ;;
    esac
  done
  kind=$(__lwt_kind "$command" "$prev")
  if [ -z "$kind" ]; then
    case " $__lwt_valued " in *" $prev "*) return ;; esac
    case $cur in
      -*) COMPREPLY=($(compgen -W "$(__lwt_flags "$command")" -- "$cur")); return ;;
    esac
    kind=$(__lwt_words "$command" "$verb")
  fi
  case $kind in
    hosts)
      word=${cur%"${cur##*[,!&^]}"}
      COMPREPLY=($(compgen -P "$word" -W "$(__lwt_hosts "$root")" -- "${cur##*[,!&^]}")) ;;
    categories)
      word=${cur%"${cur##*,}"}
      COMPREPLY=($(compgen -P "$word" -W "$(__lwt_column "$root" 2)" -- "${cur##*,}")) ;;
    ids) COMPREPLY=($(compgen -W "$(__lwt_ids "$root")" -- "$cur")) ;;
    description) COMPREPLY=($(compgen -W "$(__lwt_descriptions "$root")" -- "$cur")) ;;
    key) compopt -o nospace 2>/dev/null; COMPREPLY=($(compgen -S = -W "$__lwt_keys" -- "$cur")) ;;
    format) COMPREPLY=($(compgen -W 'text json' -- "$cur")) ;;
    directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    file) compopt -o default 2>/dev/null ;;
    program) COMPREPLY=($(compgen -c -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$kind" -- "$cur")) ;;
  esac
}
complete -F _lwt lwt lwt.pyz
