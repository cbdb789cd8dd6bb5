"""Command lines with hosts, run by GNU parallel and by lwt multi: python3 -m
tests.parallel_on_hosts [WORD…]

With WORDs, only the examples that contain one of them are run.

Each example is run in an empty directory with the same files, on two lab hosts. What the two
programs printed, the files of the directory and the files that they left on the hosts are compared.
The results go to the table in docs/for-parallel-clush-pdsh-users.md. Needs root and GNU parallel.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests import lab
from tests.parallel_examples import (Example, comparable, left_out, markdown, start_of_row,
                                     write_table, written_rows)
from tests.support import ROOT, tree_of

BEGIN, END = '<!-- on hosts: begin -->', '<!-- on hosts: end -->'
PATIENCE = 60

SETUP = r'''
mkdir -p sub/deep tree/inner empty "$HOME/.parallel"; export TMPDIR=$HOME
echo A > a; echo B > b; echo C > c; echo D > sub/d; echo E > sub/deep/e; echo base > base
echo 1 > tree/one; echo 2 > tree/inner/two; chmod 700 tree/inner
printf '#!/bin/sh\necho ran\n' > script; chmod 755 script; ln -s a link
printf 'X\tY\n1\t2\n3\t4\n' > table
echo "# comment" > hosts; echo "1/h1" >> hosts; echo >> hosts; echo "h2" >> hosts
cp hosts "$HOME/.parallel/sshloginfile"
'''
PROGRAMS = {
    'GNU parallel': 'parallel() { command parallel --will-cite "$@"; }\n',
    'lwt': 'parallel() { "%s" -S -m lwt multi "$@"; }\n' % sys.executable,
}
# Files that the programs themselves keep on hosts.
OWN = ('.ssh', '.lwt', '.parallel')

KEPT = 'directories that were sent are removed too'
COUNT = 'the exit code is 1 if jobs failed, and 3 if one timed out or a host was unreachable'
MISSING = 'a file that is not returned makes the job fail'
COPY = "parallel -j1 -S h1 --trc {}.out 'cat {} > {}.out' ::: "
LOG = '; cut -f1,2,5-9 log | sort; rm log'
EXAMPLES = (
    # hosts
    Example('parallel -S h1,h2 echo {} ::: x y'),
    Example('parallel -S 2/h1,1/: echo {} ::: x y z'),
    Example('parallel -j1 -S h1 -S h2 echo {} ::: x y'),
    Example('parallel -j1 --sshlogin h1,: echo {} ::: x y'),
    Example('parallel -j1 --slf hosts echo {} ::: x y'),
    Example('parallel -j1 --sshloginfile .. echo {} ::: x y'),
    Example('parallel -j1 -S .. echo {} ::: x y'),
    Example('parallel -j1 --slf hosts --slf .. -S : echo {} ::: x y'),
    Example("printf 'h1\\nh2\\n' | parallel -j1 --slf - echo ::: x y"),
    Example('parallel -j1 --slf <(echo h1) echo ::: x y'),
    Example("echo 'h2 # comment' > hosts; parallel -j1 --slf hosts echo ::: x",
            'the line is refused; GNU parallel runs a program named h2', compare='none'),
    Example('parallel -j2 -S h1,h2,h1 echo ::: x y'),
    Example("parallel -j1 -S root@h1 echo {} '$PARALLEL_SSHHOST' '$PARALLEL_SSHLOGIN' ::: x"),
    Example("parallel -j1 -S h1,: echo '$PARALLEL_SEQ $PARALLEL_JOBSLOT' ::: x"),
    Example("parallel -j1 -S : echo '$PARALLEL_SSHHOST $PARALLEL_SSHLOGIN' ::: x"),
    Example("parallel -j1 echo '$PARALLEL_SSHHOST $PARALLEL_SSHLOGIN' ::: x"),
    Example('parallel -j1 -S root@h1 --plus echo {host} {sshlogin} {} ::: x'),
    Example('parallel -j1 -S h1 --plus echo {host} ::: x',
            'without a placeholder for the argument, it is appended'),
    Example('parallel -j50% -S h1 echo {%} ::: x y'),
    Example('parallel -j+1 -S h1 echo ::: x y'),
    Example('parallel -j0 -S h1 echo ::: x y'),
    Example('parallel -j1 -S nosuch,h1 echo ::: x y',
            'the job goes to another host; GNU parallel fails it'),
    Example('parallel -j1 -S nosuch echo ::: x; echo $?',
            'the exit code is 2, as for all mistakes'),
    left_out('parallel -j1 -S @web/h1 echo ::: x'),
    left_out("parallel -j1 -S 'ssh -p 22 h1' echo ::: x"),
    left_out('parallel -j1 -S h1 --onall echo ::: x y'),
    left_out('parallel -j1 -S h1 --nonall echo hi'),
    left_out('parallel -j1 -S h1 --controlmaster echo ::: x'),
    left_out('parallel -j1 -S h1 --sshdelay 0.1 echo ::: x'),
    left_out('parallel -j1 -S h1 --filter-hosts echo ::: x'),
    # files
    Example('parallel -j1 -S h1 --transferfile {} cat {} ::: a b'),
    Example('parallel -j1 -S h1 --transfer cat {} ::: a'),
    Example("parallel -j1 -S h1 --tf {} --return {}.out 'cat {} > {}.out' ::: a b"),
    Example("parallel -j1 -S h1 --tf {} --return {}.out --cleanup 'cat {} > {}.out' ::: a b"),
    Example("parallel -j1 -S h1,h2 --trc {}.out 'cat {} > {}.out' ::: a b c"),
    Example("parallel -j1 -S h1 --trc {.}.out 'cat {} > {.}.out' ::: a sub/d sub/deep/e"),
    Example("parallel -j1 -S h1 --trc {/}.out 'cat {} > {/}.out' ::: sub/d sub/deep/e"),
    Example("parallel -j1 -S h1 --trc {}.out --trc {}.err 'cat {} > {}.out; echo e > {}.err' "
            '::: a'),
    Example("parallel -j1 -S h1 --basefile base 'cat base; echo {}' ::: x y"),
    Example("parallel -j1 -S h1 --bf base --cleanup 'cat base; echo {}' ::: x y"),
    Example("parallel -j1 -S h1,h2 --bf base --bf script --trc {}.out './script > {}.out; "
            "cat base {} >> {}.out' ::: a b"),
    Example("parallel -j1 -S h1 --bf tree 'find tree | sort; echo' ::: x"),
    Example("parallel -j1 -S h1 --bf tree --cleanup 'find tree | sort; echo' ::: x", KEPT),
    Example("cd sub; parallel -j1 -S h1 --wd new --tf . 'ls; cat deep/e; echo' ::: x"),
    Example("parallel -j1 -S h1 --tf {1} --cleanup 'cat {1}; echo {2}' ::: a b ::: 1 2"),
    Example("parallel -j1 -S h1 --tf {1} --tf {2} --return {1}{2} --cleanup "
            "'cat {1} {2} > {1}{2}' ::: a b ::: c base"),
    Example("parallel -j2 -S h1 --tf sub --cleanup 'cat sub/d; echo {}' ::: x y", KEPT),
    Example('parallel -j1 -S h1 --cleanup "echo {} > left-{}" ::: x'),
    Example(COPY + '$PWD/a'),
    Example(COPY + './a ./sub/d'),
    Example(COPY + 'a a'),
    Example("parallel -j1 -S h1 --tf {} 'cat deep/e; echo' ::: sub/./deep/e"),
    Example("parallel -j1 -S h1 --tf {} --return {/}.out 'cat deep/e > {/}.out' "
            '::: sub/./deep/e'),
    Example("parallel -j1 -S h1 --return sub/./{}.out 'mkdir -p sub; echo {} > {}.out; "
            "echo in sub > sub/{}.out' ::: x"),
    Example("parallel -j1 -S h1 --return new/dir/{}.out 'mkdir -p new/dir; "
            "echo {} > new/dir/{}.out' ::: x"),
    Example("cd sub; parallel -j1 -S h1 --wd x --trc {}.out 'cat {} > {}.out' ::: ../a",
            '`..` is refused: write `.././a`', compare='none'),
    Example("parallel -j1 -S h1 --tf {} 'find {} | sort; cat {}/inner/two' ::: tree"),
    Example("parallel -j1 -S h1 --tf {} 'ls {}' ::: tree/"),
    Example("parallel -j1 -S h1 --trc {}.d 'cp -r {} {}.d' ::: tree", KEPT),
    Example("parallel -j1 -S h1 --return {}.d 'mkdir -p {}.d/x; echo 1 > {}.d/x/y' ::: r"),
    Example("parallel -j1 -S h1 --tf {} 'ls -ld {} | cut -c1-10' ::: empty script link"),
    Example("parallel -j1 -S h1 --return {} 'echo text > t; ln -s t {}' ::: l1"),
    Example("parallel -j1 -S h1 --return {}.sh 'echo > {}.sh; chmod 750 {}.sh' ::: x; "
            'stat -c %a x.sh'),
    Example('for f in "it\'s" \' s  p \' \'q"q\' ü \'d$d\' \'x*y\' \'b\\b\'; do echo "$f" > "$f"; '
            "printf '%s\\0' \"$f\"; done | parallel -0 -j1 -S h1 --trc {}.out 'cat {} > {}.out'",
            'all names come back'),
    Example('echo 1 > ./-dash; ' + COPY.replace('{} >', './{} >').replace('> {', '> ./{')
            + '-dash'),
    Example('echo 1 > .dot; ' + COPY + '.dot'),
    Example("echo 1 > a:b; parallel -j1 -S h1 --tf {} 'cat {}' ::: a:b"),
    Example('parallel -j1 -S h1 --return {}.out true ::: x; echo $?', MISSING),
    Example("parallel -j1 -S h1 --trc {}.out 'cat {}' ::: a; echo $?", MISSING),
    Example("parallel -j1 -S h1 --tf {} 'cat {}' ::: none; echo $?"),
    Example("parallel -j1 -S h1 --trc {}.out 'cat {} > {}.out; false' ::: a; echo $?"),
    # directories and the environment
    Example('parallel -j1 -S h1 --wd new/dir pwd ::: x'),
    Example('parallel -j1 -S h1 --wd /tmp/new pwd ::: x'),
    Example('parallel -j1 -S h1 --wd {} pwd ::: a b'),
    Example("parallel -j1 -S h1 --wd . --tf {} 'cat {}; basename $(pwd)' ::: a"),
    Example("parallel -j1 -S h1 --wd . --trc {}.out 'cat {} > {}.out' ::: a"),
    Example("cd sub; parallel -j1 -S h1 --wd . --tf {} 'cat {}' ::: d deep/e"),
    Example("parallel -j1 -S h1 --wd ... --trc {}.out 'cat {} > {}.out' ::: a b"),
    Example("parallel -j1 -S h1 --workdir sub --trc {}.out 'cat {} > {}.out' ::: a"),
    Example("parallel -j1 -S : --wd sub 'basename $(pwd); echo {}' ::: x y"),
    Example('V=$(printf "two\\nlines \'q\' \\"dq\\" \\\\$x \\\\\\\\ end"); export V; '
            "parallel -j1 -S h1 --env V 'echo \"$V\"' ::: x"),
    Example("V=1; W=2; export V W; parallel -j1 -S h1 --env V,W 'echo $V $W' ::: x"),
    Example("V=1; W=2; export V W; parallel -j1 -S h1 --env V --env W 'echo $V $W' ::: x"),
    Example("V=1; export V; parallel -j1 -S h1 'echo [$V]' ::: x"),
    Example("parallel -j1 -S h1 --env NOT_SET 'echo [$NOT_SET]' ::: x"),
    Example("V=; export V; parallel -j1 -S h1 --env V 'echo ${V-unset}' ::: x"),
    left_out('f() { echo f $1; }; export -f f; parallel -j1 -S h1 --env f f ::: x'),
    # the rest
    Example("parallel -j2 -S h1,h2 -k 'sleep 0.{}; echo {}' ::: 4 1 2", compare='order'),
    Example('parallel -j1 -S h1,h2 --tag echo ::: x y'),
    Example("parallel -j1 -S h1 --tagstring '{}-{#}' echo ::: x y"),
    Example("parallel -j1 -S h1 --lb 'echo {}; sleep 0.2; echo {}' ::: x y", compare='order'),
    Example("parallel -j1 -S h1 --ungroup 'printf {}; printf {}' ::: x y"),
    Example("parallel -j1 -S h1,h2 --retries 2 'echo {}; false' ::: x",
            '`--retries 2` is 2 *further* attempts', compare='none'),
    Example("parallel -j1 -S h1 --halt now,fail=1 'echo {}; exit {}' ::: 0 1 0 0"),
    Example("parallel -j1 -S h1 --halt soon,fail=1 'echo {}; exit {}' ::: 0 1 0 0"),
    Example("parallel -j1 -S h1 --halt 2 'echo {}; exit {}' ::: 0 1 0 0"),
    Example("parallel -j1 -S h1 --halt now,success=1 'echo {}; exit {}' ::: 1 0 0"),
    Example('parallel -j1 -S h1 --delay 0.1 echo ::: x y'),
    Example("parallel -j1 -S h1 --results res 'echo {}' ::: x y",
            'the output is printed too, and directories are named by number'),
    Example('parallel -j1 -S h1 --progress echo ::: x'),
    Example("parallel -j1 -S h1 --dry-run --trc {}.out 'cat {} > {}.out' ::: a"),
    Example("parallel -j1 -S h1 --joblog log 'exit {}' ::: 0 3" + LOG),
    Example("parallel -j1 -S h1 --joblog log --tf {} 'cat {}' ::: a b" + LOG),
    Example("parallel -j1 -S h1 --joblog log --trc {}.out 'cat {} > {}.out; echo out' ::: a" + LOG,
            'Send is the size of the files that were sent, Receive that of the output and of the '
            'files that came back'),
    Example("parallel -j1 -S h1 --joblog log 'exit {}' ::: 0 3; "
            "parallel -j1 -S h1 --joblog log --resume 'exit {}' ::: 0 3 4" + LOG),
    Example("parallel -j1 -S h1 --joblog log 'exit {}' ::: 0 3; "
            "parallel -j1 -S h1 --joblog log --resume-failed 'exit {}' ::: 0 3 4" + LOG),
    Example("parallel -j1 -S h1 --joblog log 'kill -9 $$' ::: x" + LOG),
    Example("parallel -j1 -S h1 'exit {}' ::: 1 2 3; echo $?", COUNT),
    Example("parallel -j1 -S h1 --timeout 3 'echo {}; sleep {}' ::: 0 9; echo $?", COUNT,
            compare='none'),
    Example("parallel -j1 -S h1 'cat; echo {}' ::: x"),
    Example("printf 'x\\ny\\n' | parallel -j1 -S h1 echo"),
    Example('parallel -j1 -S h1 echo < /dev/null; echo $?'),
    Example("printf 'echo 1\\n\\necho 2\\n' | parallel -j1 -S h1,h2"),
    Example("parallel -j1 -S h1 'echo {} >&2' ::: x 2>&1"),
    Example("seq 6 | parallel -j2 -S h1 --pipe -N2 'cat; echo end'"),
    Example('seq 6 | parallel -j1 -S h1,h2 --pipe -N3 --tag cat'),
    Example('seq 100000 | parallel -j1 -S h1,h2 --pipe --block 100k -k cat | md5sum'),
    Example("printf 'h\\na\\nb\\n' | parallel -j1 -S h1 --pipe -N1 --header : 'cat; echo'"),
    Example('seq 5 | parallel -j2 -S h1 -X -k echo'),
    Example('seq 5 | parallel -j1 -S h1 -N2 -k echo 1={1} 2={2}'),
    Example("parallel -j1 -S h1 -N2 --trc {1}.out 'cat {1} {2} > {1}.out' ::: a b c base"),
    Example("parallel -j1 -S h1 -X --tf {} --cleanup 'cat {}' ::: a b"),
    Example("parallel -j1 -S h1 --colsep '\\t' echo {2} {1} :::: table"),
    Example("parallel -j1 -S h1 --header : --colsep '\\t' echo x={X} y={Y} :::: table"),
    Example("parallel -j1 -S h1 --header : --tf {f} --return {f}.out --cleanup 'cat {f} > {f}.out' "
            '::: f a b'),
    Example("parallel -j1 -S h1 --plus --trc {..}.out 'cat {} > {..}.out' ::: a"),
    Example('parallel -j1 -S h1,h2 --link echo {1} {2} ::: a b ::: 1 2'),
    Example("parallel -j1 -S h1 --nice 11 'nice; echo' ::: x"),
    Example("parallel -j1 -S h1 --quote echo '$HOME {}' ::: x"),
)


class Outcome(NamedTuple):
    """What an example did. code: exit code; lines: standard output; errors: standard error.

    files: of the directory. left: the files on the hosts.
    """

    code: int
    lines: list
    errors: list
    files: dict
    left: dict


def _directories(hosts):
    """Return {(host, place): path} of the directories in which examples leave files."""
    return {(name, place): hosts.path(name, place) for name in hosts.names
            for place in ('home', 'tmp')}


def run(hosts, text, program):
    """Run an example with a program of PROGRAMS; return an Outcome."""
    for top in _directories(hosts).values():
        for name in set(os.listdir(top)) - {'.ssh'}:
            subprocess.run(['rm', '-rf', '--', os.path.join(top, name)], check=True)
    directory = tempfile.mkdtemp(prefix='examples-')
    home, here = os.path.join(directory, 'home'), os.path.join(directory, 'here')
    try:
        os.mkdir(home)
        os.mkdir(here)
        env = dict(hosts.environment(), PYTHONPATH=ROOT, HOME=home, LC_ALL='C.UTF-8',
                   PARALLEL_SSH='ssh -F ' + hosts.ssh_config)
        subprocess.run(['bash', '-c', SETUP], cwd=here, env=env, check=True)
        done = subprocess.run(
            ['bash', '-c', PROGRAMS[program] + text], cwd=here, env=dict(env, TMPDIR=home),
            timeout=PATIENCE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        files = tree_of(here)
    finally:
        shutil.rmtree(directory)
    left = {}
    for (_name, place), top in _directories(hosts).items():
        left.update({place + '/' + path.replace(os.path.basename(directory), 'DIR'): content
                     for path, content in tree_of(top).items()
                     if path.partition('/')[0] not in OWN})
    lines = done.stdout.decode('utf-8', 'surrogateescape').replace(directory, '/DIR').split('\n')
    return Outcome(done.returncode, lines,
                   done.stderr.decode('utf-8', 'replace').splitlines(), files, left)


def measured(hosts, example):
    """Run an example with both programs; return (row of the table, whether it is as expected)."""
    theirs, ours = (run(hosts, example.text, program) for program in PROGRAMS)
    is_same = (comparable(example, theirs.lines) == comparable(example, ours.lines)
               and bool(theirs.code) == bool(ours.code)
               and (theirs.files, theirs.left) == (ours.files, ours.left))
    hint = next((line.partition('hint: ')[2] for line in ours.errors if 'hint: ' in line), '')
    result, is_right = 'same', is_same
    if example.is_left_out:
        result = 'left out: ' + markdown(example.why or hint)
        is_right = ours.code == 2 and bool(hint)
    elif example.why:
        result = 'different: ' + example.why
        is_right = not is_same or example.compare == 'none'
    if not is_right:
        print('%s\n  %s\n  %s' % (example.text, theirs, ours), file=sys.stderr)
    return start_of_row(example) + result + ' |', is_right


def main(words):
    """Run the examples and write the table. Returns an exit code."""
    rows = written_rows(EXAMPLES, BEGIN, END) if words else {}
    wrong = 0
    with lab.Lab(2) as hosts:
        for example in EXAMPLES:
            if not words or any(word in example.text for word in words):
                row, is_right = measured(hosts, example)
                rows[example.text] = row if is_right else ''
                wrong += not is_right
    write_table([rows[example.text] for example in EXAMPLES if rows.get(example.text)], BEGIN, END)
    if wrong:
        print('%d examples differ from what is written' % wrong)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
