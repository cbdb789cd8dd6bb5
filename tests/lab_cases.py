"""Test cases with a lab of hosts, one for all tests of a class."""

import unittest

from tests import lab
from tests.support import ProgramTestCase


class HostsTestCase(ProgramTestCase):
    """hosts: how many. why_not() and make_lab() define the kind of lab."""

    hosts = 1

    @classmethod
    def why_not(cls):
        """Return why the lab cannot be made on this machine, or ''."""
        raise NotImplementedError

    @classmethod
    def make_lab(cls):
        """Return the lab, not yet started."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        reason = cls.why_not()
        if reason:
            raise unittest.SkipTest(reason)
        cls.lab = cls.make_lab()
        try:
            cls.lab.up()
        except BaseException:
            cls.lab.down()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.lab.down()
        super().tearDownClass()


class LoopbackTestCase(HostsTestCase):
    """Each host is an sshd on a port of loopback, for any user."""

    @classmethod
    def why_not(cls):
        return lab.why_not_sshd()

    @classmethod
    def make_lab(cls):
        return lab.LoopbackLab(cls.hosts)
