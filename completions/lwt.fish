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
set -g __lwt_valued --after --array --back --batch --column --connect-timeout --delay --delimiter --each --errdir --every --failed-to --fanout --grace --halt --hello-timeout --host --idle --input --input-on-hosts --joblog --jobs --lease --limit --links --load --log --log-format --map --memfree --memory --name --nice --out --outcome --outdir --output --output-limit --pick --reduce --results --retries --script --set --stall --state --stdin --timeout --tmp --transport --why -C -P -S -c -f -g -i -j -m -o -r -t -u -w -x
function __lwt_keys
    printf '%s=\n' fanout connect_timeout hello_timeout timeout idle grace lease output_limit stall logins persist retries max_cpu_day max_cpu_night max_cpu_me_day max_cpu_me_night max_dtask_day max_dtask_night night min_memory min_disk quarantine_after quarantine_good quarantine_wait quarantine_longest probe_size probe_time probe_rate keep log log_format overdue ssh_config
end
complete -c lwt -f
complete -c lwt -n 'contains -- -- (commandline -opc)' -F -a '(__fish_complete_command)'
complete -c lwt -s h -l help -d 'show this help message and exit'
complete -c lwt -s C -x -a '(__fish_complete_directories)' -d 'the workspace, where it is not this directory or one above'
complete -c lwt -s q -l quiet -d 'only errors'
complete -c lwt -s v -l verbose -d 'say more'
complete -c lwt -l set -x -a '(__lwt_keys)' -d 'set any option (those of lwt.conf)'
complete -c lwt -l log -r -F -d 'a file for a line on each thing that happens, with host, task and attempt'
complete -c lwt -l log-format -x -a 'text json' -d 'of those lines: text or json (default text)'
complete -c lwt -n '__lwt_at 0' -a init -d 'make a workspace: lwt.conf, host.list, description/sample'
complete -c lwt -n '__lwt_at 1 init' -a '(__fish_complete_directories)'
complete -c lwt -n '__lwt_at 0' -a demo -d 'run a real sweep of tasks on this machine, no sshd needed'
complete -c lwt -n '__lwt_at 0' -a multi -d 'run command lines on this machine, several at a time'
complete -c lwt -n '__lwt_at 1 multi' -s j -s P -l jobs -x -d 'commands at once: N; +N, -N: more or less than the cores; N%: of the cores; 0: as many as possible'
complete -c lwt -n '__lwt_at 1 multi' -s u -l timeout -x -d 'time-out of each; N% of the median of those that went well'
complete -c lwt -n '__lwt_at 1 multi' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 multi' -l retries -x -d 'run again what failed, up to N times, with back-off'
complete -c lwt -n '__lwt_at 1 multi' -l halt -x -d 'now|soon,fail|success|done=N|N%: stop early, ending what runs (now) or not (soon)'
complete -c lwt -n '__lwt_at 1 multi' -l delay -x -d 'between two starts'
complete -c lwt -n '__lwt_at 1 multi' -l load -x -d 'start nothing while the load is N or N% of the cores, or more'
complete -c lwt -n '__lwt_at 1 multi' -l memfree -x -d 'start nothing with less memory free (k, M, G)'
complete -c lwt -n '__lwt_at 1 multi' -l nice -x -d 'be kind to others: nice N'
complete -c lwt -n '__lwt_at 1 multi' -s 0 -l null -d 'the input is separated by NUL bytes, not newlines'
complete -c lwt -n '__lwt_at 1 multi' -l dos -d 'drop a carriage return at the end of an input line'
complete -c lwt -n '__lwt_at 1 multi' -l plus -d 'for GNU parallel: its more unusual placeholders are errors, not text'
complete -c lwt -n '__lwt_at 1 multi' -l dry-run -d 'print the commands only'
complete -c lwt -n '__lwt_at 1 multi' -s k -l keep-order -d 'in the order of the input'
complete -c lwt -n '__lwt_at 1 multi' -l tag -d 'the argument (or command) and a tab before each line'
complete -c lwt -n '__lwt_at 1 multi' -l line-buffer -l lb -d 'whole lines as they come'
complete -c lwt -n '__lwt_at 1 multi' -l progress -l bar -l eta -d 'tell how far it is (SIGUSR1 tells what runs)'
complete -c lwt -n '__lwt_at 1 multi' -l joblog -r -F -d 'a row for each job, as GNU parallel writes it; +FILE appends'
complete -c lwt -n '__lwt_at 1 multi' -l resume -d 'leave out what the job log has'
complete -c lwt -n '__lwt_at 1 multi' -l resume-failed -d 'leave out what the job log has as a success'
complete -c lwt -n '__lwt_at 1 multi' -l results -r -F -d 'DIR/N/stdout, stderr and meta (JSON) of each job'
complete -c lwt -n '__lwt_at 1 multi' -a '(__fish_complete_command)'
complete -c lwt -n '__lwt_at 0' -a exec -d 'run a command on hosts'
complete -c lwt -n '__lwt_at 1 exec' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 exec' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 exec' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 exec' -s u -l timeout -x -d 'for the whole command; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 exec' -l idle -x -d 'without a byte of output before a command is ended; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 exec' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 exec' -l lease -x -d 'that a host does without a heartbeat before it ends a command (default 60)'
complete -c lwt -n '__lwt_at 1 exec' -l output-limit -x -d 'most output of one host in one command: 500M, 2G, or KiB; 0: no limit (default 1G)'
complete -c lwt -n '__lwt_at 1 exec' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 exec' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 exec' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 exec' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 1 exec' -s b -l gather -d 'wait for all, and show equal output once'
complete -c lwt -n '__lwt_at 1 exec' -l diff -d 'gather, and show how each output differs from the most common one'
complete -c lwt -n '__lwt_at 1 exec' -s k -l keep-order -d 'show the hosts\' output in the order of the hosts'
complete -c lwt -n '__lwt_at 1 exec' -s N -l no-label -d 'no host before the lines'
complete -c lwt -n '__lwt_at 1 exec' -l json -d 'one JSON object a line for each host'
complete -c lwt -n '__lwt_at 1 exec' -l outdir -r -F -d 'besides, a file for each host with its standard output'
complete -c lwt -n '__lwt_at 1 exec' -l errdir -r -F -d 'the same with its standard error'
complete -c lwt -n '__lwt_at 1 exec' -l progress -d 'tell how far it is (SIGUSR1 tells what runs)'
complete -c lwt -n '__lwt_at 1 exec' -l failed-to -r -F -d 'write the names of the hosts that failed; -w ^FILE is those'
complete -c lwt -n '__lwt_at 1 exec' -s S -l max-code -d 'exit with the largest remote code'
complete -c lwt -n '__lwt_at 1 exec' -l stdin -r -F -d 'the command\'s standard input on every host; - is lwt\'s own'
complete -c lwt -n '__lwt_at 1 exec' -l script -r -F -d 'a local script to run; the words after -- are its arguments'
complete -c lwt -n '__lwt_at 1 exec' -l subst -d 'replace %h by the host, %n by its rank from 0, %{COLUMN} by its column of the host list, %% by a percent sign'
complete -c lwt -n '__lwt_at 1 exec' -l sudo -d 'as root, by sudo; its password is asked for once'
complete -c lwt -n '__lwt_at 1 exec' -l pick -x -d 'only N of the hosts, at random'
complete -c lwt -n '__lwt_at 1 exec' -l batch -x -d 'the next N hosts when the N before are done'
complete -c lwt -n '__lwt_at 1 exec' -l fail-fast -d 'a failure ends the rest; with --batch, after its batch'
complete -c lwt -n '__lwt_at 1 exec' -l retries -x -d 'for a host where nothing ran, N further attempts'
complete -c lwt -n '__lwt_at 1 exec' -a '(__fish_complete_command)'
complete -c lwt -n '__lwt_at 0' -a put -d 'copy files and directories to hosts'
complete -c lwt -n '__lwt_at 1 put' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 put' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 put' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 put' -l per-host -d 'LOCAL/HOST/* is what each HOST gets'
complete -c lwt -n '__lwt_at 1 put' -l chain -d 'hosts hand the file on to each other by netcat, not encrypted (by itself: large, 3 hosts or more)'
complete -c lwt -n '__lwt_at 1 put' -l star -d 'each host gets it from here, by ssh'
complete -c lwt -n '__lwt_at 1 put' -l limit -x -d 'kilobits a second for each host'
complete -c lwt -n '__lwt_at 1 put' -l links -x -d 'symbolic links: follow (default), keep or skip them'
complete -c lwt -n '__lwt_at 1 put' -s u -l timeout -x -d 'for the whole command; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 put' -l stall -x -d 'without a byte before a transfer is cut (default 120)'
complete -c lwt -n '__lwt_at 1 put' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 put' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 put' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 put' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 put' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 1 put' -F
complete -c lwt -n '__lwt_at 0' -a get -d 'fetch files and directories from hosts'
complete -c lwt -n '__lwt_at 1 get' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 get' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 get' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 get' -l force -d 'replace what is there already'
complete -c lwt -n '__lwt_at 1 get' -l limit -x -d 'kilobits a second for each host'
complete -c lwt -n '__lwt_at 1 get' -l links -x -d 'symbolic links: follow (default), keep or skip them'
complete -c lwt -n '__lwt_at 1 get' -s u -l timeout -x -d 'for the whole command; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 get' -l stall -x -d 'without a byte before a transfer is cut (default 120)'
complete -c lwt -n '__lwt_at 1 get' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 get' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 get' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 get' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 get' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 1 get' -F
complete -c lwt -n '__lwt_at 0' -a hosts -d 'print the hosts that a selection means'
complete -c lwt -n '__lwt_at 1 hosts' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 hosts' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 hosts' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 hosts' -l expand -d 'one host a line (the default)'
complete -c lwt -n '__lwt_at 1 hosts' -l fold -d 'all in one word, as short as it can be'
complete -c lwt -n '__lwt_at 1 hosts' -l count -d 'how many'
complete -c lwt -n '__lwt_at 1 hosts' -l why -x -d 'how it is: what it did, when, and when it is asked again'
complete -c lwt -n '__lwt_at 1 hosts' -l out -x -d 'put it out by hand, for the reason in the words that follow'
complete -c lwt -n '__lwt_at 1 hosts' -l back -x -d 'take it back, from quarantine as well'
complete -c lwt -n '__lwt_at 1 hosts' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 hosts' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 hosts' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 hosts' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a reduce -d 'sort and reduce lines on hosts, parted by their key'
complete -c lwt -n '__lwt_at 1 reduce' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 reduce' -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 reduce' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 reduce' -s m -x -a '(__lwt_list (__lwt_hosts))' -d 'these, and one named twice does twice as much (default: /etc/br.hosts)'
complete -c lwt -n '__lwt_at 1 reduce' -s c -l column -x -d 'the column that is the key (default 1)'
complete -c lwt -n '__lwt_at 1 reduce' -s r -l reduce -x -d 'run on each host, reads its sorted lines (default: none)'
complete -c lwt -n '__lwt_at 1 reduce' -s i -l input -r -F -d 'a file (default: standard input)'
complete -c lwt -n '__lwt_at 1 reduce' -s o -l output -r -F -d 'a file (default: standard output)'
complete -c lwt -n '__lwt_at 1 reduce' -s S -l memory -x -d 'for each sort, as sort -S has it'
complete -c lwt -n '__lwt_at 1 reduce' -s t -l tmp -r -F -d 'for temporary files, on the hosts and here (default: $TMPDIR there, or /tmp)'
complete -c lwt -n '__lwt_at 1 reduce' -l map -x -d 'run on each host before lines are parted: reads its share of the input'
complete -c lwt -n '__lwt_at 1 reduce' -l input-on-hosts -x -d 'read the files that lie on the hosts, in place of IN'
complete -c lwt -n '__lwt_at 1 reduce' -l delimiter -x -d 'what stands between columns (default: blanks)'
complete -c lwt -n '__lwt_at 1 reduce' -l numeric -d 'keys are numbers'
complete -c lwt -n '__lwt_at 1 reduce' -l reverse -d 'the largest key first'
complete -c lwt -n '__lwt_at 1 reduce' -l transport -x -d 'how lines travel; nc: not encrypted'
complete -c lwt -n '__lwt_at 1 reduce' -s u -l timeout -x -d 'for the whole command; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 reduce' -l stall -x -d 'without a byte before a transfer is cut (default 120)'
complete -c lwt -n '__lwt_at 1 reduce' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 reduce' -l lease -x -d 'that a host does without a heartbeat before it ends a command (default 60)'
complete -c lwt -n '__lwt_at 1 reduce' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 reduce' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 reduce' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 reduce' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a probe -d 'test the candidates, and write which are available'
complete -c lwt -n '__lwt_at 1 probe' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 probe' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 probe' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 probe' -l limit -x -d 'kbit/s each way for each host (default: no limit)'
complete -c lwt -n '__lwt_at 1 probe' -l watch -d 'again and again; on a terminal in place'
complete -c lwt -n '__lwt_at 1 probe' -l every -x -d '--watch: so often (default 60)'
complete -c lwt -n '__lwt_at 1 probe' -l json -d 'one JSON object a line for each host'
complete -c lwt -n '__lwt_at 1 probe' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 probe' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 probe' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 probe' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a monitor -d 'show how loaded hosts are'
complete -c lwt -n '__lwt_at 1 monitor' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 monitor' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 monitor' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 monitor' -l watch -d 'again and again; on a terminal in place'
complete -c lwt -n '__lwt_at 1 monitor' -l every -x -d '--watch: so often (default 5)'
complete -c lwt -n '__lwt_at 1 monitor' -l json -d 'one JSON object a line for each host'
complete -c lwt -n '__lwt_at 1 monitor' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 monitor' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 monitor' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 monitor' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a stat -d 'sum up hosts and users over time'
complete -c lwt -n '__lwt_at 1 stat' -l tasks -d 'what tasks took, by name and by host: attempts, how they ended, their time, cpu as far as hosts told it, and the bytes of their results'
complete -c lwt -n '__lwt_at 1 stat' -l json -d 'one JSON object a line'
complete -c lwt -n '__lwt_at 0' -a deploy -d 'put lwt itself, and your tools, on hosts'
complete -c lwt -n '__lwt_at 1 deploy' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 deploy' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 deploy' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 deploy' -l json -d 'one JSON object a line for each host'
complete -c lwt -n '__lwt_at 1 deploy' -s u -l timeout -x -d 'for the whole command; 0: no limit (default 0)'
complete -c lwt -n '__lwt_at 1 deploy' -l stall -x -d 'without a byte before a transfer is cut (default 120)'
complete -c lwt -n '__lwt_at 1 deploy' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 deploy' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 deploy' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 deploy' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 deploy' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a report -d 'write one page of HTML on hosts, queue and failures'
complete -c lwt -n '__lwt_at 1 report' -s o -l output -r -F -d 'the file to write (default: standard output)'
complete -c lwt -n '__lwt_at 0' -a doctor -d 'check state, workspace, this machine and hosts; mend what can be'
complete -c lwt -n '__lwt_at 1 doctor' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 doctor' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 doctor' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 doctor' -l fix -d 'mend what can be mended'
complete -c lwt -n '__lwt_at 1 doctor' -l json -d 'one JSON object a line'
complete -c lwt -n '__lwt_at 1 doctor' -s w -x -a '(__lwt_list (__lwt_hosts))' -d 'these: a,b  h[1-9,12]  h[01-20/2]  a!b  a&b  a^b  @CATEGORY  ^FILE  ^- (stdin)'
complete -c lwt -n '__lwt_at 1 doctor' -s g -x -a '(__lwt_list (__lwt_column 2))' -d 'the available ones of a category, or of several'
complete -c lwt -n '__lwt_at 1 doctor' -s x -x -a '(__lwt_list (__lwt_hosts))' -d 'but not these'
complete -c lwt -n '__lwt_at 1 doctor' -s a -d 'all available ones'
complete -c lwt -n '__lwt_at 0' -a cron -d 'have the queue looked after by cron, or by systemd'
complete -c lwt -n '__lwt_at 1 cron' -l every -x -d 'minutes between two passes, or 1h to 24h (default 5)'
complete -c lwt -n '__lwt_at 1 cron' -l systemd -d 'a timer of systemd, of this user, in the place of cron'
complete -c lwt -n '__lwt_at 1 cron; and not __lwt_at 2' -a 'install remove show'
complete -c lwt -n '__lwt_at 2 cron show' -a '(__lwt_ids)'
complete -c lwt -n '__lwt_at 0' -a task -d 'the queue of tasks: add, update, run, show, log, kill'
complete -c lwt -n '__lwt_at 1 task' -l each -r -F -d 'add: a task for each line of FILE'
complete -c lwt -n '__lwt_at 1 task' -l array -x -d 'add: a task for each number: 5  1-100  1,3,7-9  0-99:10  001-100'
complete -c lwt -n '__lwt_at 1 task' -l after -x -d 'add: only once these are done with success'
complete -c lwt -n '__lwt_at 1 task' -l unless-exists -d 'add: not those whose name and value are there already'
complete -c lwt -n '__lwt_at 1 task' -l cron -d 'update: silent unless something needs a person'
complete -c lwt -n '__lwt_at 1 task' -l progress -d 'run, wait: a line of progress'
complete -c lwt -n '__lwt_at 1 task' -l state -l outcome -x -d 'show: only those in these states, or that ended so'
complete -c lwt -n '__lwt_at 1 task' -l name -x -d 'show: only those of these names'
complete -c lwt -n '__lwt_at 1 task' -l host -x -d 'show: only those on these hosts'
complete -c lwt -n '__lwt_at 1 task' -l finished -d 'show: only those that are done, and what they took'
complete -c lwt -n '__lwt_at 1 task' -l count -l counts -d 'show: only how many'
complete -c lwt -n '__lwt_at 1 task' -l json -d 'show: one JSON object a line'
complete -c lwt -n '__lwt_at 1 task' -l follow -d 'log: go on as long as it runs'
complete -c lwt -n '__lwt_at 1 task' -l results -d 'rm: remove what came home as well'
complete -c lwt -n '__lwt_at 1 task' -s f -l fanout -x -d 'maximum number of parallel processes; 0: as many as possible (default 32)'
complete -c lwt -n '__lwt_at 1 task' -l retries -x -d 'further attempts of a task, where its desc names no number (default 1)'
complete -c lwt -n '__lwt_at 1 task' -s t -l connect-timeout -x -d 'to reach a host (default 10)'
complete -c lwt -n '__lwt_at 1 task' -l hello-timeout -x -d 'for its shell to answer, over the connect timeout (default 20)'
complete -c lwt -n '__lwt_at 1 task' -l grace -x -d 'between TERM and KILL (default 5)'
complete -c lwt -n '__lwt_at 1 task' -l lease -x -d 'that a host does without a heartbeat before it ends a command (default 60)'
complete -c lwt -n '__lwt_at 1 task' -l stall -x -d 'without a byte before a transfer is cut (default 120)'
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
