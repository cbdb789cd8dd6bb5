"""Capacity and samples: what a host reports, within limits, and how many tasks it gets for that.
Pure.
"""

import unittest

from lwt.errors import UsageError
from lwt.hosts import capacity, sample
from lwt.hosts.sample import Sample, Use
from lwt.remote import host_limits
from lwt.tasks.model import Desc
from lwt.workspace import config
from lwt.workspace.hostlist import Host

HOST = Host('h', 'c')
SETTINGS = config.load(None, {}, ())
FREE = Sample(cores=4, load=0.5, memory=8000000, free_memory=4000000, free_disk=9000000, tasks=0)


class Samples(unittest.TestCase):
    """What lwt accepts of a host's report."""

    def test_lines_are_read_and_others_passed_over(self):
        told = sample.parse(
            ['facts b i',
             'sample cores=4 disk=900 tasks=2 load=125 memory=1000 free=600 cpu=153 me=20',
             'user me 20 100 3', 'user www-data 130 200 9', 'task k poll running 1'])
        self.assertEqual(told, Sample(4, 1.25, 1000, 600, 900, 2, 153, 20,
                                      (Use('me', 20, 100, 3), Use('www-data', 130, 200, 9))))
        self.assertEqual(sample.from_json(sample.to_json(told)), told)

    def test_numbers_that_make_no_sense_are_none_and_are_named(self):
        for part in ('cores=0', 'cores=-1', 'cores=x', 'cores=', 'cores=1e999', 'cores=99999999',
                     'cores=' + '9' * 6000,
                     'cores=\xb2', 'load=nan', 'free=-5', 'disk=1.5', 'cpu=inf', 'bogus=1'):
            with self.subTest(part=part[:20]):
                told = sample.parse(['sample ' + part])
                self.assertEqual(told._replace(nonsense=()), Sample())
                self.assertEqual(len(told.nonsense), 1)
        for line in ('user', 'user x', 'user x 1 2', 'user x 1 2 -3', 'user %s 1 2 3' % ('x' * 40),
                     'user \x1b[31m 1 2 3'):
            with self.subTest(line=line):
                told = sample.parse([line])
                self.assertEqual((told.users, len(told.nonsense)), ((), 1))

    def test_a_flood_of_users_is_cut(self):
        self.assertEqual(
            len(sample.parse(['user u%d 1 1 1' % number for number in range(9999)]).users),
            host_limits.LOAD_USERS)


class Rooms(unittest.TestCase):
    """How many tasks a host gets, and the reason if it gets none."""

    def slots(self, host, settings=SETTINGS, hour=12, told=FREE):
        return capacity.room(host, told, settings, hour).slots

    def test_T_4_the_hours_of_night_end_with_their_last(self):
        settings = SETTINGS._replace(max_dtask_day=1, max_dtask_night=9)
        for night, hour, slots in (((23, 8), 22, 1), ((23, 8), 23, 9), ((23, 8), 0, 9),
                                   ((23, 8), 8, 9), ((23, 8), 9, 1),
                                   ((1, 3), 0, 1), ((1, 3), 1, 9), ((1, 3), 3, 9), ((1, 3), 4, 1),
                                   ((5, 5), 5, 9),
                                   ((5, 5), 6, 1)):
            with self.subTest(night=night, hour=hour):
                self.assertEqual(self.slots(HOST, settings._replace(night=night), hour), slots)

    def test_the_slots_of_a_host_are_what_its_line_says_else_its_cores(self):
        for extra, slots in (((), 4), ((('slots', '7'),), 7), ((('slots', '0'),), 0),
                             ((('slots', 'x'),), 4),
                             ((('slots', '\xb2'),), 4), ((('max_dtask_day', '3'),), 3),
                             ((('max_dtask_night', '3'),), 4)):
            with self.subTest(extra=extra):
                self.assertEqual(self.slots(HOST._replace(extra=extra)), slots)
        self.assertEqual(self.slots(HOST, told=Sample(free_disk=10 ** 6)), 1)

    def test_the_narrower_place_wins(self):
        settings = SETTINGS._replace(max_dtask_day=2,
                                     categories={'c': {'max_dtask_day': 5, 'night': (1, 2)}})
        self.assertEqual(self.slots(HOST, settings), 5)
        self.assertEqual(self.slots(HOST._replace(category='d'), settings), 2)
        self.assertEqual(self.slots(HOST._replace(extra=(('max_dtask_day', '8'),)), settings), 8)
        self.assertEqual(self.slots(HOST, settings, hour=1), 4)
        self.assertEqual(self.slots(
            HOST._replace(extra=(('night', '12-13'), ('max_dtask_night', '6'))), settings), 6)
        self.assertRaises(UsageError, self.slots, HOST._replace(extra=(('max_dtask_day', 'many'),)))

    def test_each_limit_has_its_reason(self):
        for told, options, hour, reasons in (
                (FREE, {}, 12, ()),
                (FREE._replace(cpu=150), {'max_cpu_day': 100}, 12,
                 ('cpu usage 150% is above max_cpu_day (100%)',)),
                (FREE._replace(cpu=150), {'max_cpu_day': 100}, 23, ()),
                (FREE._replace(cpu=100), {'max_cpu_day': 100}, 12, ()),
                (FREE._replace(own_cpu=90), {'max_cpu_me_night': 50}, 23,
                 ('your cpu usage 90% is above max_cpu_me_night (50%)',)),
                (FREE, {'max_cpu_day': 100}, 12,
                 ('cpu usage unknown (max_cpu_day is 100%)',)),
                (FREE._replace(free_memory=100000), {'min_memory': 200}, 12,
                 ('free memory 100 MB is below min_memory (200 MB)',)),
                (FREE._replace(free_disk=9000), {}, 12,
                 ('free disk space 9 MB is below min_disk (10 MB)',)),
                (FREE._replace(free_disk=None), {}, 12,
                 ('free disk space unknown (min_disk is 10 MB)',)),
                (FREE._replace(free_disk=0), {'min_disk': 0}, 12, ())):
            with self.subTest(reasons=reasons, options=options):
                self.assertEqual(
                    capacity.room(HOST, told, SETTINGS._replace(**options), hour).reasons, reasons)
        self.assertEqual(
            capacity.room(HOST._replace(extra=(('slots', '0'),)), FREE, SETTINGS, 12).reasons,
            ('slots=0 in host.list',))

    def test_cpu_is_watched_only_where_a_limit_asks_for_it(self):
        self.assertFalse(capacity.watches_cpu(HOST, SETTINGS))
        self.assertTrue(capacity.watches_cpu(HOST, SETTINGS._replace(max_cpu_me_night=5)))
        self.assertTrue(
            capacity.watches_cpu(HOST._replace(extra=(('max_cpu_day', '90'),)), SETTINGS))

    def test_a_task_goes_only_where_its_desc_says(self):
        for desc, accepted in (({}, True), ({'category': 'c'}, True), ({'category': 'd'}, False),
                               ({'hosts': 'g,h'}, True),
                               ({'hosts': 'g h'}, True), ({'hosts': 'hh'}, False),
                               ({'hosts': 'h', 'category': 'd'}, False)):
            with self.subTest(desc=desc):
                self.assertIs(capacity.accepts(HOST, Desc('x', **desc)), accepted)


class Options(unittest.TestCase):
    """Options of a category."""

    def load(self, text):
        import tempfile
        with tempfile.NamedTemporaryFile('w') as file:
            file.write(text)
            file.flush()
            return config.load(file.name, {}, ())

    def test_a_section_of_a_category(self):
        settings = self.load(
            '[lwt]\nfanout = 3\n[category plab]\nmax_dtask_night = 4\nnight = 1-2\n')
        self.assertEqual((settings.fanout, settings.categories),
                         (3, {'plab': {'max_dtask_night': 4, 'night': (1, 2)}}))

    def test_what_a_category_may_not_say_is_an_error(self):
        for text, said in (('[category x]\nfanout = 3', '[lwt] only'),
                           ('[category x]\nmax_cpu = 3', "unknown option 'max_cpu'"),
                           ('[category x]\nmax_cpu_day = y', 'whole number'),
                           ('[categories]\n', 'unknown section'),
                           ('[category]\n', 'unknown section')):
            with self.subTest(text=text):
                with self.assertRaises(UsageError) as caught:
                    self.load(text)
                self.assertIn(said, str(caught.exception))


if __name__ == '__main__':
    unittest.main()
