"""Test cases with a lab of hosts, one for all tests of a class."""

import unittest

from tests import lab
from tests.support import ProgramTestCase


class HostsTestCase(ProgramTestCase):
    """hosts: how many.  why_not() and make_lab() say what kind of lab it is."""

    hosts = 1

    @classmethod
    def why_not(cls):
        """Why the lab cannot be here, or ''."""
        raise NotImplementedError

    @classmethod
    def make_lab(cls):
        """The lab, not up yet."""
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
    """Each host is a sshd on a port of loopback, for any user."""

    @classmethod
    def why_not(cls):
        return lab.why_not_sshd()

    @classmethod
    def make_lab(cls):
        return lab.LoopbackLab(cls.hosts)
