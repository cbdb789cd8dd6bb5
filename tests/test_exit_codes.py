"""The exit code for many results."""

import unittest

from lwt.commands import exit_codes
from lwt.remote.exit_status import Verdict

VERDICTS = {kind: Verdict(kind, code) for kind, code in (
    ('ok', 0), ('failed', 3), ('refused', 255), ('timeout', 124), ('dns', 255), ('hostkey', 255),
    ('auth', 255),
    ('lost', 255),
    ('killed', 130))}


class ExitCodes(unittest.TestCase):
    """0: all succeeded; 1: a command failed; 3: anything else, which takes precedence."""

    def test_the_worst_class_decides(self):
        for kinds, code in (('', 0), ('ok', 0), ('ok ok', 0), ('failed', 1), ('ok failed ok', 1),
                            ('refused', 3),
                            ('timeout', 3),
                            ('dns', 3), ('hostkey', 3), ('auth', 3), ('lost', 3), ('killed', 3),
                            ('failed lost', 3),
                            ('lost failed ok', 3)):
            with self.subTest(kinds=kinds):
                self.assertEqual(exit_codes.exit_code([VERDICTS[kind] for kind in kinds.split()]),
                                 code)

    def test_the_largest_remote_code_is_found(self):
        for kinds, code in (('', 0), ('ok', 0), ('failed ok', 3), ('failed timeout killed', 130),
                            ('lost failed', 255)):
            with self.subTest(kinds=kinds):
                self.assertEqual(exit_codes.largest_code(VERDICTS[kind] for kind in kinds.split()),
                                 code)


if __name__ == '__main__':
    unittest.main()
