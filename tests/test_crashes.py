"""The crash loop: lwt is killed, or gets an error of the machine, at each of its steps; afterwards
everything must be correct.

Correct means: no attempt was started twice, and none that lwt reports as not run; every result has
arrived complete; nothing is left on this machine or on the host; no lock is held; the state is
consistent. See crashing (how) and ledger (what is checked).

The suite samples the steps of the longer cases, with a seed; `make crash` runs all of them.
"""

import itertools
import os
import random
import shutil
import unittest

from lwt.tasks import queue
from lwt.tasks.store import Store
from lwt.workspace.layout import Workspace
from tests import crashing, ledger
from tests.support import ALL_STEPS, ProgramTestCase

SLOW_RUN = ('echo "$LWT_TASK.$LWT_ATTEMPT" >>"$d_home/starts"\nwhile [ ! -e "$d_home/go" ]; do '
            'sleep 0.02; done\n')
MOST_STEPS = 1000


def sampled(stride, seed):
    """Return the numbers of steps: all or, in the suite, one of every `stride`."""
    rng = random.Random(seed)
    if ALL_STEPS or stride == 1:
        return itertools.count(1)
    return (first + rng.randrange(stride) for first in itertools.count(1, stride))


class CrashLoop(ProgramTestCase):
    """Workspaces whose only host is this machine, all copies of one. A case runs in a fresh one for
    each step.
    """

    slow = True                         # so that it is started first
    # In memory, because the tests are about steps and not about power cuts.
    scratch_in = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None

    def setUp(self):
        super().setUp()
        self.make_workspace([('localhost', 'local', '~')], grace='1')
        self.describe('count', ledger.DESC, run_sh=ledger.RUN)
        self.describe('fails', ledger.DESC,
                      run_sh=ledger.RUN + '[ "$(grep -c "^$LWT_TASK" "$d_home/starts")" = 2 ]\n')
        self.describe('slow', ledger.DESC, run_sh=SLOW_RUN + ledger.RUN.partition('\n')[2])
        self.fresh_number = 0

    def fresh(self):
        """Copy the prepared workspace; return the directory of the copy."""
        self.fresh_number += 1
        root = self.path('fresh', str(self.fresh_number))
        os.makedirs(root)
        for name in ('host.list', 'lwt.conf', 'description', 'task', 'task.finish', '.lwt', 'home'):
            path = self.path(name)
            if os.path.isdir(path):
                shutil.copytree(path, os.path.join(root, name))
            elif os.path.exists(path):
                shutil.copy(path, root)
        self.move_master(root)
        return root

    @staticmethod
    def move_master(root):
        """Make the copy's path the one where its master was made: lwt refuses other copies."""
        path = os.path.join(root, '.lwt', 'master')
        if os.path.exists(path):
            with open(path) as file:
                name, machine, _inode, _path = file.read().split(' ', 3)
            with open(path, 'w') as file:
                file.write('%s %s %d %s\n'
                           % (name, machine, os.stat(os.path.dirname(path)).st_ino, root))

    def run_in(self, root, words, plan=crashing.Plan()):
        """Run lwt in a workspace; fail on a hang, a traceback or an unexpected exit code."""
        env = dict(self.env, HOME=os.path.join(root, 'home'))
        ended = crashing.run(words.split(), env, root, plan)
        is_killed = plan.fault == 'kill' and ended.code == 137 and plan.at
        if not is_killed and (ended.code not in (0, 1, 3, 74, 75) or 'Traceback' in ended.output):
            self.fail('%s, %s: %s' % (words, plan, ended))
        return ended

    def settle(self, root, about):
        """Run until nothing is left to do; then the ledger must be correct. Return {number:
        outcome}.
        """
        for _round in range(3):
            ended = self.run_in(root, 'task run')
            if not any('to be removed' in line for line in self.remains(root)):
                break
        entries = ledger.entries(root, [os.path.join(root, 'home', 'starts')])
        wrong = [str(entry) for entry in entries if entry.problems] + self.remains(root)
        self.assertEqual(wrong, [], '%s\n%s' % (about, ended))
        return {entry.number: entry.outcome for entry in entries}

    def remains(self, root):
        return ledger.remains(root, {'localhost': os.path.join(root, 'home')})

    def loop(self, words, outcomes, before=(), after=(), fault='kill', for_ever=False, steps=None):
        """A case: for each of some steps, run lwt with these words in a fresh workspace and have
        that step fail.

        before, after: commands before that run, and between the fault and the last runs; '!' stands
        for a Python function of the root. outcomes: the required outcome of each task, one word or
        the permitted ones. Returns how many steps were tried.
        """
        tried = 0
        for at in steps or itertools.count(1):
            root, plan = self.fresh(), crashing.Plan(at, fault, for_ever)
            for each in before:
                self.do(root, each)
            ended = self.run_in(root, words, plan)
            about = '%s, %s: %s' % (words, plan, ended)
            for each in after:
                self.do(root, each)
            found = self.settle(root, about)
            for number, allowed in outcomes.items():
                self.assertIn(found.get(number, 'gone'), allowed.split(),
                              '%d: %s' % (number, about))
            shutil.rmtree(root)
            if len(ended.steps) < at:
                return tried
            tried += 1
            self.assertLess(at, MOST_STEPS)

    def do(self, root, each):
        if callable(each):
            each(root)
        else:
            self.run_in(root, each)


def go(root):
    """Let the slow tasks of a workspace end."""
    with open(os.path.join(root, 'home', 'go'), 'w'):
        pass


def remove_again(root):
    """Repeat a removal that was killed, as a user would, for everything that still exists."""
    with Store(os.path.join(root, '.lwt', 'state.db')) as store:
        place = Workspace(root)
        list(queue.remove(place, store, store.all(), True))


class Killed(CrashLoop):
    """kill -9 of a run."""

    def test_X_1_killed_at_each_step_of_a_run(self):
        self.lwt('task', 'add', 'count', 'fails')
        tried = self.loop('task run', {1: 'success', 2: 'success'}, steps=sampled(4, 1))
        self.assertGreater(tried, 50 if ALL_STEPS else 12)

    def test_X_2_killed_again_in_the_recovery(self):
        self.lwt('task', 'add', 'count', 'fails')
        rng = random.Random(2)
        for _ in range(ALL_STEPS and 300 or 6):
            again = crashing.Plan(rng.randrange(1, 60))
            self.loop('task run', {1: 'success', 2: 'success'}, steps=[rng.randrange(1, 75)],
                      after=[lambda root, again=again: self.run_in(root, 'task run', again)])


class KilledWishes(CrashLoop):
    """kill -9 of all other commands that change tasks: add, and the requests of users."""

    def test_X_1_killed_at_each_step_of_an_add(self):
        self.loop('task add count fails', {1: 'success gone', 2: 'success gone'})

    def test_X_1_killed_at_each_step_of_a_kill(self):
        self.lwt('task', 'add', 'slow', 'count')
        self.loop('task kill 1 2', {1: 'killed success', 2: 'killed success'}, ['task update'],
                  [go],
                  steps=self.some(1))
        self.loop('task kill 1 2', {1: 'killed', 2: 'killed success'}, ['task update'],
                  ['task kill 1', 'task kill 2'],
                  steps=self.some(2))

    def test_X_1_killed_at_each_step_of_suspending_and_resuming(self):
        self.lwt('task', 'add', 'slow')
        self.loop('task suspend 1', {1: 'success'}, ['task update'], ['task resume 1', go],
                  steps=self.some(3))
        self.loop('task resume 1', {1: 'success'}, ['task update', 'task suspend 1'],
                  ['task resume 1', go], steps=self.some(4))

    def test_X_1_killed_at_each_step_of_a_removal(self):
        self.lwt('task', 'add', 'slow', 'count')
        self.loop('task rm 1 2 --results', {1: 'gone', 2: 'gone'}, ['task update'] * 2,
                  [remove_again], steps=self.some(5))

    def test_X_1_killed_at_each_step_of_a_retry(self):
        self.describe('ends', ledger.DESC, run_sh=ledger.RUN + 'exit 3\n')
        self.lwt('task', 'add', 'ends')
        self.lwt('task', 'run')
        self.loop('task retry 1', {1: 'failed'}, after=['task retry 1'])

    def some(self, seed):
        """Return one of six steps, or all steps if requested."""
        return sampled(6, seed)


class Refused(CrashLoop):
    """The machine refuses a step: its disk is full or broken, or no descriptors are left."""

    def refuse(self, fault, for_ever, seed):
        self.lwt('task', 'add', 'count', 'fails')
        return self.loop('task run', {1: 'success', 2: 'success'}, fault=fault, for_ever=for_ever,
                         steps=sampled(25, seed))

    def test_X_1_a_full_disk_at_each_step(self):
        self.refuse('ENOSPC', False, 11)

    def test_X_1_a_disk_that_stays_full_from_each_step_on(self):
        self.refuse('ENOSPC', True, 12)

    def test_X_1_an_error_of_the_disk_at_each_step(self):
        self.refuse('EIO', False, 13)

    def test_X_1_a_disk_that_is_broken_from_each_step_on(self):
        self.refuse('EIO', True, 14)

    def test_X_1_no_descriptor_at_each_step(self):
        self.refuse('EMFILE', False, 15)

    def test_X_1_no_descriptor_from_each_step_on(self):
        self.refuse('EMFILE', True, 16)


if __name__ == '__main__':
    unittest.main()
