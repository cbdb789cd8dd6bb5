"""The examples of GNU parallel's tutorial, run by GNU parallel and by lwt multi: python3 -m
tests.parallel_examples [WORD…]

With WORDs, only the examples that contain one of them are run again.

The examples are run as they are written, with `parallel` as the name of the one or the other
program. Times to sleep are shorter than in the tutorial, and /tmp is the scratch directory. The
results go to the table in docs/for-parallel-clush-pdsh-users.md, and what lwt printed to
tests/parallel_examples.json, with which a test compares what lwt prints later.

Examples that need hosts, SQL or a terminal are not in the list.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests.support import ROOT

DOCUMENT = os.path.join(ROOT, 'docs', 'for-parallel-clush-pdsh-users.md')
RECORD = os.path.join(ROOT, 'tests', 'parallel_examples.json')
BEGIN, END = '<!-- examples: begin -->', '<!-- examples: end -->'
PATIENCE = 120

# The files of the tutorial.
SETUP = r'''
printf 'A\nB\nC\n' > abc-file; printf 'D\nE\nF\n' > def-file
printf 'A\0B\0C\0' > abc0-file; printf 'A_B_C_' > abc_-file
printf 'f1\tf2\nA\tB\nC\tD\n' > tsv-file.tsv
seq 8 > num8; seq 128 > num128; seq 30000 > num30000; seq 1000000 > num1000000
(echo %head1; echo %head2; seq 10) > num_%header
printf 'HHHHAAABBBCCC' > fixedlen
'''
PROGRAMS = {
    'GNU parallel': 'parallel() { command parallel --will-cite "$@"; }\n',
    'lwt': 'parallel() { "%s" -S -m lwt multi "$@"; }\n' % sys.executable,
}


class Example(NamedTuple):
    """An example. text: what bash runs.

    why: how lwt differs, '' if it does the same. compare: 'lines' in any order, 'order', or 'none',
    if the lines differ from run to run. is_left_out: whether lwt refuses it.
    """

    text: str
    why: str = ''
    compare: str = 'lines'
    is_left_out: bool = False


def left_out(text, why=''):
    """Return an Example that lwt refuses."""
    return Example(text, why, is_left_out=True)


QUOTES = 'each argument is quoted, so quotes around placeholders are refused'
LENGTH = 'a command line may have 131071 bytes, whatever the environment holds'
EXAMPLES = (
    Example('parallel echo ::: A B C'),
    Example('parallel -a abc-file echo'),
    Example('cat abc-file | parallel echo'),
    Example('parallel echo ::: A B C ::: D E F'),
    Example('parallel -a abc-file -a def-file echo'),
    Example('cat abc-file | parallel -a - -a def-file echo'),
    Example('cat abc-file | parallel echo :::: - def-file'),
    Example('parallel echo ::: A B C :::: def-file'),
    Example('parallel --link echo ::: A B C ::: D E F'),
    Example('parallel --link echo ::: A B C D E ::: F G'),
    Example('parallel echo :::: abc-file :::+ G H I :::: def-file'),
    Example('parallel echo :::: abc-file ::: G H I ::::+ def-file'),
    Example('parallel echo ::: A B C D E :::+ F G'),
    left_out('parallel --arg-sep ,, echo ,, A B C :::: def-file'),
    left_out('parallel --arg-file-sep // echo ::: A B C // def-file'),
    Example('parallel -d _ echo :::: abc_-file'),
    Example(r"parallel -d '\0' echo :::: abc0-file"),
    Example('parallel -0 echo :::: abc0-file'),
    Example('parallel -E stop echo ::: A B stop C D'),
    Example('(echo 1; echo; echo 2) | parallel --no-run-if-empty echo'),
    Example("parallel ::: 'echo foo' pwd"),
    Example('my_func() { echo in my_func $1; }; export -f my_func; parallel my_func ::: 1 2 3',
            'commands are for sh, which has no functions of bash: put it into a script'),
    Example('parallel echo {} ::: A/B.C'),
    Example('parallel echo {.} ::: A/B.C'),
    Example('parallel echo {/} ::: A/B.C'),
    Example('parallel echo {//} ::: A/B.C'),
    Example('parallel echo {/.} ::: A/B.C'),
    Example('parallel echo {#} ::: A B C'),
    Example('parallel -j 2 echo {%} ::: A B C', compare='none'),
    Example('parallel -I ,, echo ,, ::: A/B.C'),
    Example('parallel --extensionreplace ,, echo ,, ::: A/B.C'),
    Example('parallel --basenamereplace ,, echo ,, ::: A/B.C'),
    Example('parallel --dirnamereplace ,, echo ,, ::: A/B.C'),
    Example('parallel --basenameextensionreplace ,, echo ,, ::: A/B.C'),
    Example('parallel --seqreplace ,, echo ,, ::: A B C'),
    Example('parallel -j2 --slotreplace ,, echo ,, ::: A B C', compare='none'),
    left_out(r"parallel echo '{= s:\.[^.]+$::;s:\.[^.]+$::; =}' ::: foo.tar.gz"),
    left_out("parallel echo {= 'if($_==3) { skip() }' =} ::: {1..5}"),
    left_out(r"parallel --parens ,,,, echo ',, s:\.[^.]+$::; ,,' ::: foo.tar.gz"),
    left_out(r"parallel --rpl '.. s:\.[^.]+$::;s:\.[^.]+$::;' echo '..' ::: foo.tar.gz"),
    Example('parallel echo {1} and {2} ::: A B ::: C D'),
    Example('parallel echo /={1/} //={1//} /.={1/.} .={1.} ::: A/B.C D/E.F'),
    Example('parallel echo 1={1} 2={2} 3={3} -1={-1} -2={-2} -3={-3} ::: A B ::: C D ::: E F'),
    Example(r"parallel --colsep '\t' echo 1={1} 2={2} :::: tsv-file.tsv"),
    Example('parallel --header : echo f1={f1} f2={f2} ::: f1 A B ::: f2 C D'),
    Example(r"parallel --header : --colsep '\t' echo f1={f1} f2={f2} :::: tsv-file.tsv"),
    Example('parallel --plus echo {} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {+/}/{/} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {.}.{+.} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {+/}/{/.}.{+.} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {..}.{+..} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {+/}/{/..}.{+..} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {...}.{+...} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo {+/}/{/...}.{+...} ::: dir/sub/file.ex1.ex2.ex3'),
    Example('parallel --plus echo Job {#} of {##} ::: {1..5}'),
    Example('parallel --plus echo {:-myval} ::: ""'),
    Example('parallel --plus echo {:2} ::: abcAaAdef'),
    Example('parallel --plus echo {:2:3} ::: abcAaAdef'),
    Example('parallel --plus echo {#bc} ::: abcAaAdef'),
    Example('parallel --plus echo {#abc} ::: abcAaAdef'),
    Example('parallel --plus echo {%de} ::: abcAaAdef'),
    Example('parallel --plus echo {%def} ::: abcAaAdef'),
    Example('parallel --plus echo {/def/ghi} ::: abcAaAdef'),
    Example('parallel --plus echo {^a} ::: abcAaAdef'),
    Example('parallel --plus echo {^^a} ::: abcAaAdef'),
    Example("parallel --plus echo '{,A}' ::: AbcAaAdef"),
    Example("parallel --plus echo '{,,A}' ::: AbcAaAdef"),
    Example('cat num30000 | parallel --xargs echo | wc -l', LENGTH),
    Example('cat num30000 | parallel --xargs -s 10000 echo | wc -l'),
    Example('cat num30000 | parallel --jobs 4 -m echo | wc -l', LENGTH),
    Example('parallel --jobs 4 -m echo ::: 1 2 3 4 5 6 7 8 9 10'),
    Example('parallel --jobs 4 -m echo pre-{}-post ::: A B C D E F G'),
    Example('parallel --jobs 4 -X echo pre-{}-post ::: A B C D E F G'),
    Example('parallel -N3 echo ::: A B C D E F G H'),
    Example('parallel -N3 echo 1={1} 2={2} 3={3} ::: A B C D E F G H'),
    Example('parallel -N0 echo foo ::: 1 2 3'),
    Example("parallel -q perl -e 'print \"@ARGV\\n\"' ::: This works",
            '`-q` is `--quiet` of lwt: write `--quote`', compare='none'),
    Example("parallel --quote perl -e 'print \"@ARGV\\n\"' ::: This works"),
    Example("parallel perl -e \\''print \"@ARGV\\n\"'\\' ::: This works, too"),
    left_out('parallel --shellquote < /dev/null'),
    Example("parallel --trim r echo pre-{}-post ::: ' A '"),
    Example("parallel --trim l echo pre-{}-post ::: ' A '"),
    Example("parallel --trim lr echo pre-{}-post ::: ' A '"),
    left_out('parallel \'if test -d "{}"; then echo "{} is a dir"; fi\' ::: .', QUOTES),
    Example('parallel --tag echo foo-{} ::: A B C'),
    Example('parallel --tagstring {}-bar echo foo-{} ::: A B C'),
    Example('parallel --dryrun echo {} ::: A B C'),
    Example('parallel -v echo {} ::: A B C',
            '`-v` prints more messages of lwt: use `--dry-run` or `--tag`'),
    Example('parallel -j2 \'printf "%s-start\\n%s" {} {}; sleep {};printf "%s\\n" -middle;'
            'echo {}-end\' ::: 0.4 0.2 0.1'),
    Example('parallel -j1 --ungroup \'printf "%s-start\\n%s" {} {}; sleep {};'
            'printf "%s\\n" -middle;echo {}-end\' ::: 0.2 0.1'),
    Example('parallel -j2 --linebuffer \'printf "%s-start\\n%s" {} {}; sleep {};'
            'printf "%s\\n" -middle;echo {}-end\' ::: 0.4 0.2 0.1'),
    Example('parallel -j2 -k \'printf "%s-start\\n%s" {} {}; sleep {};printf "%s\\n" -middle;'
            'echo {}-end\' ::: 0.4 0.2 0.1', compare='order'),
    left_out('parallel --files echo ::: A B C'),
    left_out('parallel --tmpdir . --files echo ::: A B C'),
    Example('parallel --results outdir echo ::: A B C', 'the output is printed too'),
    Example('parallel --header : --results outdir echo ::: f1 A B ::: f2 C D; find outdir | sort',
            'directories are named by number, `outdir/1/stdout`, so that any argument can be used',
            compare='none'),
    Example('parallel -N0 -j64 sleep 0.01 :::: num128; echo $?'),
    Example('parallel -N0 --jobs 200% sleep 0.01 :::: num8; echo $?'),
    Example('parallel -N0 --jobs 0 sleep 0.01 :::: num128; echo $?'),
    left_out('parallel --use-cpus-instead-of-cores -N0 sleep 0.01 :::: num8'),
    Example('parallel --shuf echo ::: 1 2 3 ::: a b c ::: A B C'),
    left_out('parallel --interactive echo ::: 1 2 3 < /dev/null'),
    left_out('parallel --tty true ::: 1'),
    left_out("seq 10 20 | parallel --tmux 'echo start {}'"),
    Example('parallel --delay 0.1 echo Starting {} ::: 1 2 3'),
    Example('parallel --timeout 1 sleep {}\\; echo {} ::: 0.1 0.2 9 8'),
    Example('parallel -j1 --timeout 400% sleep {}\\; echo {} ::: 0.31 0.32 0.33 9 0.31'),
    Example('parallel --eta true ::: 1 3 2 2', compare='none',
            why='one line with a bar, counts, rate and the time left; a summary follows'),
    Example('parallel --bar true ::: 1 3 2 2', compare='none',
            why='the same line as with `--eta`'),
    Example('parallel --joblog log exit ::: 1 2 3 0; cut -f1,7,8,9 log'),
    Example('parallel --joblog log exit ::: 1 2 3 0; '
            'parallel --resume --joblog log exit ::: 1 2 3 0 0 0; cut -f1,7,8,9 log'),
    Example('parallel --joblog log exit ::: 1 2 3 0; '
            'parallel --resume-failed --joblog log exit ::: 1 2 3 0; cut -f1,7,8,9 log'),
    left_out('parallel --retry-failed --joblog log'),
    Example('parallel -j1 --halt soon,fail=1 echo {}\\; exit {} ::: 0 0 1 2 3'),
    Example('parallel -j1 --halt now,fail=1 echo {}\\; exit {} ::: 0 0 1 2 3'),
    Example('parallel -j1 --halt soon,fail=20% echo {}\\; exit {} ::: 0 1 2 3 4 5 6 7 8 9'),
    Example('parallel -j1 --halt now,success=1 echo {}\\; exit {} ::: 1 2 3 0 4 5 6'),
    Example('parallel -j1 --halt 2 echo {}\\; exit {} ::: 0 1 2'),
    Example("parallel -k --retries 3 'echo tried {} >>runs; echo completed {}; exit {}' ::: 1 2 0; "
            'cat runs', '`--retries N` is N *further* attempts: write `--retries 2`'),
    left_out("echo | parallel --termseq TERM,200,TERM,100,KILL,25 --timeout 1 true"),
    Example('parallel --load 10000% echo load is less than {} job per cpu ::: 1'),
    left_out('parallel --noswap echo the system is not swapping ::: now'),
    Example('parallel --memfree 1M echo will run if more than 1 MB is ::: free'),
    Example('parallel --nice 17 echo this is being run with nice -n ::: 17'),
    left_out('parallel --onall -S : echo ::: foo bar'),
    left_out('parallel --sqlandworker csv:///log.csv seq ::: 10 ::: 12 13 14'),
    Example('cat num1000000 | parallel --pipe wc'),
    Example('cat num1000000 | parallel --pipe --block 2M wc'),
    Example('cat num1000000 | parallel --pipe -j4 --round-robin wc | '
            "awk '{ lines += $1 } END { print NR, lines }'"),
    Example('cat num1000000 | parallel --pipe -N140000 wc'),
    Example('cat num1000000 | parallel --pipe -L75 wc'),
    Example("cat fixedlen | parallel --pipe --header .{4} --block 3 --recend '' "
            "'echo start; cat; echo'"),
    Example("echo /foo, bar/, /baz, qux/, | parallel -kN1 --recend ', ' --pipe "
            'echo JOB{#}\\;cat\\;echo END', compare='order'),
    Example('echo /foo, bar/, /baz, qux/, | parallel -kN1 --recstart / --pipe '
            'echo JOB{#}\\;cat\\;echo END', compare='order'),
    Example("echo /foo, bar/, /baz, qux/, | parallel -kN1 --recend ', ' --recstart / --pipe "
            'echo JOB{#}\\;cat\\;echo END', compare='order'),
    Example('echo foo,bar,_baz,__qux, | parallel -kN1 --regexp --recend ,_+ --pipe '
            'echo JOB{#}\\;cat\\;echo END', compare='order'),
    Example('echo foo,bar,_baz,__qux, | parallel -kN1 --rrs --regexp --recend ,_+ --pipe '
            'echo JOB{#}\\;cat\\;echo END', compare='order'),
    Example("cat num_%header | parallel --header '(%.*\\n)*' --pipe -N3 echo JOB{#}\\;cat"),
    Example('cat num_%header | parallel --header 2 --pipe -N3 echo JOB{#}\\;cat'),
    Example('parallel --pipepart -a num1000000 --block 3m wc'),
    Example('parallel --pipepart -a num1000000 --block -2 -j2 wc'),
    left_out('parallel --pipe --cat wc < num8'),
    left_out('parallel --pipe --fifo wc < num8'),
    left_out("parallel --shebang-wrap /usr/bin/perl ::: 1"),
    left_out("parallel --semaphore 'sleep 0.1; echo The first finished'"),
    left_out('parallel --minversion 20130722'),
    left_out('parallel --max-line-length-allowed'),
    left_out('parallel --number-of-cores'),
    left_out('parallel --profile nicetimeout echo ::: A B C'),
)


class Outcome(NamedTuple):
    """What an example printed. code: of the whole script; errors: lines on standard error."""

    code: int
    lines: list
    errors: list


def run(text, program, directory, setup=SETUP):
    """Run an example in an empty directory, with a program of PROGRAMS; return an Outcome.

    setup: a script that makes the files.
    """
    script = setup + 'export TMPDIR=$PWD\n' + PROGRAMS[program] + text
    env = dict(os.environ, PYTHONPATH=ROOT, HOME=directory, LC_ALL='C.UTF-8')
    done = subprocess.run(['bash', '-c', script], cwd=directory, env=env, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    lines = done.stdout.decode('utf-8', 'replace').replace(directory, '/DIR').split('\n')
    return Outcome(done.returncode, [re.sub(' +', ' ', line).strip() for line in lines],
                   done.stderr.decode('utf-8', 'replace').splitlines())


def comparable(example, lines):
    """Return lines in a form in which equal outcomes are equal."""
    if example.compare == 'none':
        return []
    if example.compare == 'order':
        return lines
    return sorted(lines)


def measured(example):
    """Run an example with both programs; return (row of the table, record or None)."""
    found = {}
    for program in PROGRAMS:
        directory = tempfile.mkdtemp(prefix='examples-')
        try:
            found[program] = run(example.text, program, directory)
        finally:
            shutil.rmtree(directory)
    theirs, ours = found['GNU parallel'], found['lwt']
    lines = comparable(example, ours.lines)
    is_same = comparable(example, theirs.lines) == lines
    hint = next((line.partition('hint: ')[2] for line in ours.errors if 'hint: ' in line), '')
    if example.is_left_out:
        result = 'left out: ' + markdown(example.why or hint)
        is_right = ours.code == 2 and hint
    elif example.why:
        result = 'different: ' + example.why
        is_right = not is_same or example.compare == 'none'
    else:
        result = 'same'
        is_right = is_same
    if not is_right:
        print('%s\n  %s\n  %s' % (example.text, theirs, ours), file=sys.stderr)
    record = None if example.is_left_out or example.compare == 'none' else lines
    return start_of_row(example) + result + ' |', record, is_right


def markdown(text):
    """Return text with options and placeholders as code."""
    return re.sub(r'(\$\(.*?\)|(?<!\w)--?[a-zA-Z][\w-]*|\{[^ ]*\})', r'`\1`', text).replace(
        '|', '\\|').replace('``', '')


def main(words):
    """Run the examples; write the table and the record. Returns an exit code."""
    rows, records = _written() if words else ({}, {})
    wrong = 0
    for example in EXAMPLES:
        if words and not any(word in example.text for word in words):
            continue
        row, record, is_right = measured(example)
        records.pop(example.text, None)
        rows[example.text] = row if is_right else ''
        wrong += not is_right
        if record is not None and is_right:
            records[example.text] = record
    write_table([rows[example.text] for example in EXAMPLES if rows.get(example.text)], BEGIN, END)
    records = {example.text: records[example.text] for example in EXAMPLES
               if example.text in records}
    with open(RECORD, 'w', encoding='utf-8') as file:
        json.dump(records, file, indent=0, ensure_ascii=False)
        file.write('\n')
    if wrong:
        print('%d of %d examples differ from what is written' % (wrong, len(EXAMPLES)))
    return 1 if wrong else 0


def _written():
    """Return (rows of the table, records) as they were written before, by the example."""
    with open(RECORD, encoding='utf-8') as file:
        records = json.load(file)
    return written_rows(EXAMPLES, BEGIN, END), records


def written_rows(examples, begin, end):
    """Return the rows of a table in the document, by the example."""
    with open(DOCUMENT, encoding='utf-8') as file:
        lines = file.read().split(begin)[1].split(end)[0].split('\n')
    starts = {example.text: start_of_row(example) for example in examples}
    return {text: line for text, start in starts.items() for line in lines
            if line.startswith(start)}


def write_table(rows, begin, end):
    """Write the rows of a table into the document, between two marks."""
    with open(DOCUMENT, encoding='utf-8') as file:
        text = file.read()
    table = ['| example | lwt multi |', '|---|---|'] + rows
    before, rest = text.split(begin)
    text = before + begin + '\n\n' + '\n'.join(table) + '\n\n' + end + rest.split(end)[1]
    with open(DOCUMENT, 'w', encoding='utf-8') as file:
        file.write(text)


def start_of_row(example):
    """Return the first column of its row."""
    return '| `%s` | ' % example.text.replace('|', '\\|')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
