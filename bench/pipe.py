"""lwt multi --pipe and --pipepart compared with GNU parallel: 1 GB through wc."""

import os
import tempfile

from bench.measure import LWT, Peer, compare, report, use_of

SIZE = 1000000000               # bytes of the file


def measure(rounds, env):
    """Print the tables of `lwt multi --pipe`."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'data')
        line = b'a line of some text in a file\n'
        with open(path, 'wb') as file:
            for _block in range(SIZE // (len(line) * 100000)):
                file.write(line * 100000)
        pipe = '--pipe --block 1M wc < ' + path
        compare('1 GB, --pipe --block 1M wc', '%s multi %s' % (LWT, pipe),
                (Peer('parallel', 'parallel --will-cite ' + pipe, 3),), min(rounds, 2), env)
        for block in ('1M', '-1'):
            part = '--pipepart -a %s --block %s wc' % (path, block)
            compare('1 GB, --pipepart --block %s wc' % block, '%s multi %s' % (LWT, part),
                    (Peer('parallel', 'parallel --will-cite ' + part, 0.8),), min(rounds, 2), env)
        used = use_of('cat %s | exec %s multi -j 2 --pipe --block 10M wc' % (path, LWT), env)
        if used is not None:
            report('1 GB, --pipe --block 10M, 2 at a time: peak memory', used.memory, 'MB', '<= 80',
                   used.memory <= 80)
