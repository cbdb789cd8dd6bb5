"""The values of lwt task add --array."""

import unittest

from lwt.errors import UsageError
from lwt.tasks import values
from tests.support import ProgramTestCase


class Values(unittest.TestCase):
    """The meaning of each form."""

    ACCEPTED = (
        ('5', '5'), ('1-3', '1 2 3'), ('1,3,5', '1 3 5'), ('1-10:5', '1 6'), ('1-10/5', '1 6'),
        ('0-20:10', '0 10 20'), ('08-10', '08 09 10'), ('8-10', '8 9 10'), ('08', '08'),
        ('001-003', '001 002 003'), ('098-101:3', '098 101'), ('01-100:33', '01 34 67 100'),
        ('1,3-5,8-10:2', '1 3 4 5 8 10'), ('1-3,2-5', '1 2 3 4 5'), ('3,1,3', '3 1'), ('7-7', '7'),
        ('1,01', '1 01'), (' 1 , 3 - 4 ', '1 3 4'), ('0-0', '0'), ('1-10:100', '1'))
    REFUSED = ('', ',', '1,,2', '1,', '1-', '-1', '10-1', '1-10:0', '1-10/0', '1:2', '1-2-3', 'a',
               '1-b',
               '1.5', '1e3', '8-010', '001-10', '[1-3]', '0-9%4', '1-3%1', '%2', '1-10%', '+1',
               '\u0661',
               '1-1000001', '0-999999,1000000-1000001', '1234567890')

    def test_FR_32_forms_of_slurm_and_hyperqueue(self):
        """FR-32: lists, steps, single numbers, leading zeros; each value once."""
        for text, expected in self.ACCEPTED:
            with self.subTest(text=text):
                self.assertEqual(list(values.of_array(text)), expected.split())

    def test_FR_32_what_means_nothing_is_refused(self):
        """FR-32: the error names the part that is wrong."""
        for text in self.REFUSED:
            with self.subTest(text=text):
                with self.assertRaises(UsageError) as caught:
                    values.of_array(text)
                self.assertIn('--array', caught.exception.message)

    def test_FR_32_a_million_values_are_accepted(self):
        """FR-32: as many as one add may have."""
        self.assertEqual(len(values.of_array('1-1000000')), 1000000)


class Program(ProgramTestCase):
    """lwt task add."""

    def test_FR_32_values_reach_the_tasks(self):
        """FR-32: a task for each value, with its zeros."""
        self.make_workspace()
        self.describe('one', 'exec : echo {}\n')
        for text, expected in (('08-10', ['08', '09', '10']), ('1,3', ['1', '3']), ('5', ['5'])):
            numbers = self.lwt('task', 'add', 'one', '--array', text).out.split()
            self.assertEqual(len(numbers), len(expected))
        self.assertEqual(self.lwt('task', 'run').code, 0)
        printed = [self.lwt('task', 'log', str(number)).out.strip() for number in range(1, 7)]
        self.assertEqual(printed, ['08', '09', '10', '1', '3', '5'])

    def test_FR_32_the_limit_of_slurm_is_an_error_that_names_it(self):
        """FR-32: 0-9%4."""
        self.make_workspace()
        done = self.lwt('task', 'add', 'sample', '--array', '0-9%4')
        self.assert_refused(done, 2, '%N of Slurm is not supported', 'leave out %4')
        self.assertEqual(done.out, '')


if __name__ == '__main__':
    unittest.main()
