# Completion of lwt for fish.  Made by python3 -m tests.generate; do not edit.
function __lwt_root
    set -l words (commandline -opc)
    if set -l at (contains -i -- -C $words)
        echo $words[(math $at + 1)]
    else if test -n "$LWT_WORKSPACE"
        echo $LWT_WORKSPACE
    else
        set -l folder $PWD
        while not test -f $folder/lwt.conf; and test -n "$folder"
            set folder (string replace -r '/[^/]*$' '' -- $folder)
        end
        echo $folder/
    end
end
function __lwt_column
    awk -F '\t' -v n=$argv[1] '!/^#/ && NF > 2 { print $n }' \
        (__lwt_root)/host.list 2>/dev/null | sort -u
end
function __lwt_hosts
    __lwt_column 1
    __lwt_column 2 | sed 's/^/@/'
end
function __lwt_list
    set -l before (string replace -r '[^,!&^]*$' '' -- (commandline -ct))
    printf '%s\n' $before$argv
end
function __lwt_ids
    lwt -C (__lwt_root) task show 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 "\t" $2 " " $3 }'
end
function __lwt_descriptions
    command ls (__lwt_root)/description 2>/dev/null
end
function __lwt_at
    # __lwt_at N [WORD...]: are there N words that are no option, and are the first of them these?
    set -l words
    set -l skip 0
    set -l given (commandline -opc)
    set -e given[1]
    for word in $given
        if test $skip = 1
            set skip 0
        else if contains -- $word $__lwt_valued
            set skip 1
        else if test "$word" = --
            return 1
        else if not string match -q -- '-*' $word
            set -a words $word
        end
    end
    test (count $words) -ge $argv[1]; or return 1
    test $argv[1] = 0; and test (count $words) != 0; and return 1
    set -e argv[1]
    set -l rank 1
    for word in $argv
        test "$words[$rank]" = $word; or return 1
        set rank (math $rank + 1)
    end
end
set -g __lwt_valued --after --array --back --batch --colsep --column --connect-timeout --delay --delimiter --each --errdir --every --failed-to --fanout --fetch --grace --halt --hello-timeout --host --idle --input --input-on-hosts --joblog --jobs --lease --limit --links --load --log --log-format --map --max-fails --memfree --memory --name --nice --out --outcome --outdir --output --output-limit --param --pick --reduce --results --retries --script --set --stall --state --stdin --timeout --tmp --transport --why -C -P -S -c -f -g -i -j -m -o -r -t -u -w -x
function __lwt_keys
    printf '%s=\n' fanout connect_timeout hello_timeout timeout idle grace lease output_limit stall logins persist retries max_cpu_day max_cpu_night max_cpu_me_day max_cpu_me_night max_dtask_day max_dtask_night night min_memory min_disk quarantine_after quarantine_good quarantine_wait quarantine_longest probe_size probe_time probe_rate keep log log_format overdue ssh_config
end
complete -c lwt -f
complete -c lwt -n 'contains -- -- (commandline -opc)' -F -a '(__fish_complete_command)'
complete -c lwt -s h -l help -d 'show this help message and exit'
complete -c lwt -s C -x -a '(__fish_complete_directories)' -d 'workspace directory (default: the nearest one upward that holds lwt.conf)'
complete -c lwt -s q -l quiet -d 'print errors only'
complete -c lwt -s v -l verbose -d 'print more details'
complete -c lwt -l set -x -a '(__lwt_keys)' -d 'set an option of lwt.conf for this run'
complete -c lwt -l log -r -F -d 'append a line for each event to FILE'
complete -c lwt -l log-format -x -a 'text json' -d 'log format: text or json (default text)'
complete -c lwt -n '__lwt_at 0' -a init -d 'create a workspace: lwt.conf, host.list, description/sample'
complete -c lwt -n '__lwt_at 1 init' -a '(__fish_complete_directories)'
complete -c lwt -n '__lwt_at 0' -a demo -d 'run a sweep of tasks on this machine (no sshd needed)'
complete -c lwt -n '__lwt_at 0' -a multi -d 'run command lines in parallel on this machine'
complete -c lwt -n '__lwt_at 1 multi' -s j -s P -l jobs -x -d 'number of parallel jobs: N; +N or -N: relative to the number of cores; N%: of the cores; 0: as many as possible'
complete -c lwt -n '__lwt_at 1 multi' -s u -l timeout -x -d 'timeout per job in seconds, or N% of the median run time of successful jobs'
complete -c lwt -n '__lwt_at 1 multi' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 multi' -l retries -x -d 'retry failed jobs up to N times, with back-off'
complete -c lwt -n '__lwt_at 1 multi' -l halt -x -d 'now|soon,fail|success|done=N|N%: stop early and kill running jobs (now) or let them finish (soon)'
complete -c lwt -n '__lwt_at 1 multi' -l delay -x -d 'seconds between two starts'
complete -c lwt -n '__lwt_at 1 multi' -l load -x -d 'start no job while the load is N, or N% of the cores, or more'
complete -c lwt -n '__lwt_at 1 multi' -l memfree -x -d 'start no job while less memory is free (k, M, G)'
complete -c lwt -n '__lwt_at 1 multi' -l nice -x -d 'run jobs at niceness N'
complete -c lwt -n '__lwt_at 1 multi' -s 0 -l null -d 'input is separated by NUL bytes instead of newlines'
complete -c lwt -n '__lwt_at 1 multi' -l dos -d 'remove a carriage return at the end of an input line'
complete -c lwt -n '__lwt_at 1 multi' -l plus -d 'treat GNU parallel\'s unusual replacement strings as errors instead of text'
complete -c lwt -n '__lwt_at 1 multi' -l dry-run -d 'print the commands and run nothing'
complete -c lwt -n '__lwt_at 1 multi' -s k -l keep-order -d 'print output in the order of the input'
complete -c lwt -n '__lwt_at 1 multi' -l tag -d 'prefix each line with the argument (or command) and a tab'
complete -c lwt -n '__lwt_at 1 multi' -l line-buffer -l lb -d 'print whole lines as they arrive'
complete -c lwt -n '__lwt_at 1 multi' -l progress -l bar -l eta -d 'show a progress bar, and a summary at the end (SIGUSR1 lists running jobs)'
complete -c lwt -n '__lwt_at 1 multi' -l joblog -r -F -d 'write a row per job in GNU parallel\'s format; +FILE appends'
complete -c lwt -n '__lwt_at 1 multi' -l resume -d 'skip jobs that are in the job log'
complete -c lwt -n '__lwt_at 1 multi' -l resume-failed -d 'skip jobs that the job log records as successful'
complete -c lwt -n '__lwt_at 1 multi' -l results -r -F -d 'write DIR/N/stdout, stderr and meta (JSON) for each job'
complete -c lwt -n '__lwt_at 1 multi' -a '(__fish_complete_command)'
complete -c lwt -n '__lwt_at 0' -a exec -d 'run a command on hosts'
complete -c lwt -n '__lwt_at 1 exec' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 exec' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 exec' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 exec' -s u -l timeout -x -d 'time limit for the whole command in seconds; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 exec' -l idle -x -d 'kill a command after SEC without output; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 exec' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 exec' -l lease -x -d 'kill a remote command after SEC without a heartbeat from this machine (default 60)'
complete -c lwt -n '__lwt_at 1 exec' -l output-limit -x -d 'maximum output per host and command: 500M, 2G, or KiB; 0: no limit (default 1G)'
complete -c lwt -n '__lwt_at 1 exec' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 exec' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 exec' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 exec' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 1 exec' -s b -l gather -d 'wait for all hosts and print equal output once'
complete -c lwt -n '__lwt_at 1 exec' -l diff -d 'like -b, and print how each output differs from the most common one'
complete -c lwt -n '__lwt_at 1 exec' -s k -l keep-order -d 'print output in the order of the hosts'
complete -c lwt -n '__lwt_at 1 exec' -s N -l no-label -d 'do not prefix output lines with the host name'
complete -c lwt -n '__lwt_at 1 exec' -l json -d 'print one JSON object per line and host'
complete -c lwt -n '__lwt_at 1 exec' -l outdir -r -F -d 'also write the standard output of each host to DIR/HOST'
complete -c lwt -n '__lwt_at 1 exec' -l errdir -r -F -d 'also write the standard error of each host to DIR/HOST'
complete -c lwt -n '__lwt_at 1 exec' -l progress -d 'show progress (SIGUSR1 lists running commands)'
complete -c lwt -n '__lwt_at 1 exec' -l failed-to -r -F -d 'write the names of failed hosts to FILE, for -w ^FILE'
complete -c lwt -n '__lwt_at 1 exec' -s S -l max-code -d 'exit with the largest remote exit code'
complete -c lwt -n '__lwt_at 1 exec' -l stdin -r -F -d 'standard input of the command on every host; - for lwt\'s own'
complete -c lwt -n '__lwt_at 1 exec' -l script -r -F -d 'run a local script; the words after -- are its arguments'
complete -c lwt -n '__lwt_at 1 exec' -l subst -d 'replace %h with the host, %n with its index from 0, %{COLUMN} with its column in the host list, %% with a percent sign'
complete -c lwt -n '__lwt_at 1 exec' -l sudo -d 'run as root with sudo; the password is asked for once'
complete -c lwt -n '__lwt_at 1 exec' -l pick -x -d 'run on N random hosts of the selection'
complete -c lwt -n '__lwt_at 1 exec' -l batch -x -d 'start the next N hosts when the previous N are done'
complete -c lwt -n '__lwt_at 1 exec' -l fail-fast -d 'stop after the first failure; with --batch, after its batch'
complete -c lwt -n '__lwt_at 1 exec' -l retries -x -d 'retry up to N times on hosts where nothing ran'
complete -c lwt -n '__lwt_at 1 exec' -a '(__fish_complete_command)'
complete -c lwt -n '__lwt_at 0' -a put -d 'copy files and directories to hosts'
complete -c lwt -n '__lwt_at 1 put' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 put' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 put' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 put' -l per-host -d 'send LOCAL/HOST/* to each HOST'
complete -c lwt -n '__lwt_at 1 put' -l chain -d 'pass the data from host to host by netcat, unencrypted (default for large files to 3 hosts or more)'
complete -c lwt -n '__lwt_at 1 put' -l star -d 'send to each host from this machine by ssh'
complete -c lwt -n '__lwt_at 1 put' -l limit -x -d 'maximum rate per host in kbit/s'
complete -c lwt -n '__lwt_at 1 put' -l transport -x -d 'how the data travels: tar (a stream through ssh) or scp, for hosts without tar and accounts that allow only sftp (default: copy= in the host list, else tar)'
complete -c lwt -n '__lwt_at 1 put' -l links -x -d 'symbolic links: follow (default), keep or skip'
complete -c lwt -n '__lwt_at 1 put' -s u -l timeout -x -d 'time limit for the whole command in seconds; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 put' -l stall -x -d 'abort a transfer after SEC without progress (default 120)'
complete -c lwt -n '__lwt_at 1 put' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 put' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 put' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 put' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 put' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 1 put' -F
complete -c lwt -n '__lwt_at 0' -a get -d 'fetch files and directories from hosts'
complete -c lwt -n '__lwt_at 1 get' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 get' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 get' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 get' -l force -d 'replace existing files'
complete -c lwt -n '__lwt_at 1 get' -l limit -x -d 'maximum rate per host in kbit/s'
complete -c lwt -n '__lwt_at 1 get' -l transport -x -d 'how the data travels: tar (a stream through ssh) or scp, for hosts without tar and accounts that allow only sftp (default: copy= in the host list, else tar)'
complete -c lwt -n '__lwt_at 1 get' -l links -x -d 'symbolic links: follow (default), keep or skip'
complete -c lwt -n '__lwt_at 1 get' -s u -l timeout -x -d 'time limit for the whole command in seconds; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 get' -l stall -x -d 'abort a transfer after SEC without progress (default 120)'
complete -c lwt -n '__lwt_at 1 get' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 get' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 get' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 get' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 get' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 1 get' -F
complete -c lwt -n '__lwt_at 0' -a hosts -d 'print, exclude or explain hosts'
complete -c lwt -n '__lwt_at 1 hosts' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 hosts' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 hosts' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 hosts' -l expand -d 'print one host per line (default)'
complete -c lwt -n '__lwt_at 1 hosts' -l fold -d 'print one node set, as short as possible'
complete -c lwt -n '__lwt_at 1 hosts' -l count -d 'print the number of hosts'
complete -c lwt -n '__lwt_at 1 hosts' -l why -x -d 'explain the state of HOST and when it is tried again'
complete -c lwt -n '__lwt_at 1 hosts' -l out -x -d 'exclude HOST; the following words give the reason'
complete -c lwt -n '__lwt_at 1 hosts' -l back -x -d 'take HOST back, also from quarantine'
complete -c lwt -n '__lwt_at 1 hosts' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 hosts' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 hosts' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 hosts' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a reduce -d 'sort and reduce lines on hosts, partitioned by key'
complete -c lwt -n '__lwt_at 1 reduce' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 reduce' -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 reduce' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 reduce' -s m -x -a '(__lwt_list (__lwt_hosts))' -d 'hosts, separated by blanks; a host gets one partition for each mention (default: /etc/br.hosts)'
complete -c lwt -n '__lwt_at 1 reduce' -s c -l column -x -d 'key column (default 1)'
complete -c lwt -n '__lwt_at 1 reduce' -s r -l reduce -x -d 'command that reads the sorted lines on each host (default: none)'
complete -c lwt -n '__lwt_at 1 reduce' -s i -l input -r -F -d 'input file (default: standard input)'
complete -c lwt -n '__lwt_at 1 reduce' -s o -l output -r -F -d 'output file (default: standard output)'
complete -c lwt -n '__lwt_at 1 reduce' -s S -l memory -x -d 'memory for each sort, as in sort -S'
complete -c lwt -n '__lwt_at 1 reduce' -s t -l tmp -r -F -d 'directory for temporary files on all machines (default: $TMPDIR or /tmp)'
complete -c lwt -n '__lwt_at 1 reduce' -l map -x -d 'command that reads its share of the input on each host before lines are partitioned'
complete -c lwt -n '__lwt_at 1 reduce' -l input-on-hosts -x -d 'read these files on the hosts instead of IN'
complete -c lwt -n '__lwt_at 1 reduce' -l delimiter -x -d 'column delimiter (default: blanks)'
complete -c lwt -n '__lwt_at 1 reduce' -l numeric -d 'sort keys as numbers'
complete -c lwt -n '__lwt_at 1 reduce' -l reverse -d 'sort in descending order'
complete -c lwt -n '__lwt_at 1 reduce' -l transport -x -d 'transport of lines; nc is not encrypted'
complete -c lwt -n '__lwt_at 1 reduce' -s u -l timeout -x -d 'time limit for the whole command in seconds; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 reduce' -l stall -x -d 'abort a transfer after SEC without progress (default 120)'
complete -c lwt -n '__lwt_at 1 reduce' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 reduce' -l lease -x -d 'kill a remote command after SEC without a heartbeat from this machine (default 60)'
complete -c lwt -n '__lwt_at 1 reduce' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 reduce' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 reduce' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 reduce' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a probe -d 'test the candidates and write which are available'
complete -c lwt -n '__lwt_at 1 probe' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 probe' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 probe' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 probe' -l limit -x -d 'maximum rate per host and direction in kbit/s (default: no limit)'
complete -c lwt -n '__lwt_at 1 probe' -l watch -d 'repeat; on a terminal, redraw in place'
complete -c lwt -n '__lwt_at 1 probe' -l every -x -d 'seconds between rounds of --watch (default 60)'
complete -c lwt -n '__lwt_at 1 probe' -l json -d 'print one JSON object per line and host'
complete -c lwt -n '__lwt_at 1 probe' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 probe' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 probe' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 probe' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a monitor -d 'show the load of hosts'
complete -c lwt -n '__lwt_at 1 monitor' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 monitor' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 monitor' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 monitor' -l watch -d 'repeat; on a terminal, redraw in place'
complete -c lwt -n '__lwt_at 1 monitor' -l every -x -d 'seconds between rounds of --watch (default 5)'
complete -c lwt -n '__lwt_at 1 monitor' -l json -d 'print one JSON object per line and host'
complete -c lwt -n '__lwt_at 1 monitor' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 monitor' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 monitor' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 monitor' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a stat -d 'show statistics about hosts, users and tasks'
complete -c lwt -n '__lwt_at 1 stat' -l tasks -d 'statistics of tasks by name and by host: attempts, outcomes, run time, cpu time and bytes of results'
complete -c lwt -n '__lwt_at 1 stat' -l json -d 'print one JSON object per line'
complete -c lwt -n '__lwt_at 0' -a deploy -d 'copy lwt and your tools to hosts'
complete -c lwt -n '__lwt_at 1 deploy' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 deploy' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 deploy' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 deploy' -l json -d 'print one JSON object per line and host'
complete -c lwt -n '__lwt_at 1 deploy' -s u -l timeout -x -d 'time limit for the whole command in seconds; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 deploy' -l stall -x -d 'abort a transfer after SEC without progress (default 120)'
complete -c lwt -n '__lwt_at 1 deploy' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 deploy' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 deploy' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 deploy' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 deploy' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a report -d 'write an HTML report about hosts, queue and failures'
complete -c lwt -n '__lwt_at 1 report' -s o -l output -r -F -d 'write to FILE (default: standard output)'
complete -c lwt -n '__lwt_at 0' -a doctor -d 'check state, workspace, this machine and hosts; fix what can be fixed'
complete -c lwt -n '__lwt_at 1 doctor' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 doctor' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 doctor' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 doctor' -l fix -d 'fix what can be fixed'
complete -c lwt -n '__lwt_at 1 doctor' -l json -d 'print one JSON object per line'
complete -c lwt -n '__lwt_at 1 doctor' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'node set: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^-'
complete -c lwt -n '__lwt_at 1 doctor' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'available hosts of a category; may be repeated'
complete -c lwt -n '__lwt_at 1 doctor' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'exclude these hosts'
complete -c lwt -n '__lwt_at 1 doctor' -s a -d 'all available hosts'
complete -c lwt -n '__lwt_at 0' -a cron -d 'run the queue from cron or systemd'
complete -c lwt -n '__lwt_at 1 cron' -l every -x -d 'minutes between two passes, or 1h to 24h (default 5)'
complete -c lwt -n '__lwt_at 1 cron' -l systemd -d 'use a systemd timer of this user instead of cron'
complete -c lwt -n '__lwt_at 1 cron; and not __lwt_at 2' -a 'install remove show'
complete -c lwt -n '__lwt_at 2 cron show' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 0' -a task -d 'the queue of tasks: add, update, run, show, log, kill'
complete -c lwt -n '__lwt_at 1 task' -l name -x -d 'add: name of the tasks (default: the first word of COMMAND); FILTER: only tasks with these names'
complete -c lwt -n '__lwt_at 1 task' -l input -x -d 'add: file or directory that COMMAND needs; copied now, to the same relative path'
complete -c lwt -n '__lwt_at 1 task' -l fetch -x -d 'add: file or directory to bring back (default: all that is new or different)'
complete -c lwt -n '__lwt_at 1 task' -l each -r -F -d 'add: one task per line of FILE (-: standard input): {} is the line'
complete -c lwt -n '__lwt_at 1 task' -l colsep -x -d 'add: divide the lines of --each at this regular expression: {1} {2} …'
complete -c lwt -n '__lwt_at 1 task' -l array -x -d 'add: one task per number: 5  1-100  1,3,7-9  0-99:10  001-100'
complete -c lwt -n '__lwt_at 1 task' -l param -x -d 'add: one task per combination of all --param: {KEY} and $KEY; VALUES: 0.1,0.01 or 1-5'
complete -c lwt -n '__lwt_at 1 task' -l after -x -d 'add: start only after these tasks succeeded'
complete -c lwt -n '__lwt_at 1 task' -l max-fails -x -d 'add: hold the rest of these tasks after N of them failed'
complete -c lwt -n '__lwt_at 1 task' -l unless-exists -d 'add: skip tasks whose name and value exist already'
complete -c lwt -n '__lwt_at 1 task' -l cron -d 'update: print only problems that need a person'
complete -c lwt -n '__lwt_at 1 task' -l progress -d 'run, wait: show progress even if standard error is not a terminal'
complete -c lwt -n '__lwt_at 1 task' -l state -l outcome -x -d 'FILTER: only tasks with these states or outcomes'
complete -c lwt -n '__lwt_at 1 task' -l host -x -d 'FILTER: only tasks on these hosts'
complete -c lwt -n '__lwt_at 1 task' -l finished -d 'show, log: only finished tasks, with their cpu time'
complete -c lwt -n '__lwt_at 1 task' -l all -d 'kill, suspend, resume, retry, rm: all tasks to which the request applies'
complete -c lwt -n '__lwt_at 1 task' -l count -l counts -d 'show: print counts only'
complete -c lwt -n '__lwt_at 1 task' -l csv -d 'show: print comma-separated values, with the path of the results'
complete -c lwt -n '__lwt_at 1 task' -l json -d 'show: print one JSON object per line'
complete -c lwt -n '__lwt_at 1 task' -l follow -d 'log: follow the output while the task runs'
complete -c lwt -n '__lwt_at 1 task' -l tag -d 'log: print the values of the task and a TAB before each line'
complete -c lwt -n '__lwt_at 1 task' -l fresh -d 'retry: copy the folder or the inputs again, and read desc again'
complete -c lwt -n '__lwt_at 1 task' -l results -d 'rm: also remove fetched results'
complete -c lwt -n '__lwt_at 1 task' -s y -l yes -d 'rm: do not ask; scripts need it with ranges, filters and --all'
complete -c lwt -n '__lwt_at 1 task' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 task' -l retries -x -d 'number of further attempts of a task whose desc does not set retries (default 1)'
complete -c lwt -n '__lwt_at 1 task' -s t -l connect-timeout -x -d 'connection timeout in seconds (default 10)'
complete -c lwt -n '__lwt_at 1 task' -l hello-timeout -x -d 'time limit in seconds for the login shell to answer once connected (default 20)'
complete -c lwt -n '__lwt_at 1 task' -l grace -x -d 'seconds between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 task' -l lease -x -d 'kill a remote command after SEC without a heartbeat from this machine (default 60)'
complete -c lwt -n '__lwt_at 1 task' -l stall -x -d 'abort a transfer after SEC without progress (default 120)'
complete -c lwt -n '__lwt_at 1 task; and not __lwt_at 2' -a 'add update run show why log kill suspend resume retry wait rm'
complete -c lwt -n '__lwt_at 2 task add' -a '(__lwt_descriptions)'
complete -c lwt -n '__lwt_at 2 task show' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task why' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task log' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task kill' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task suspend' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task resume' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task retry' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task wait' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 2 task rm' -a '(__lwt_ids)'
